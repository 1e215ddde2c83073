"""`redifine lineage`: back to D_0 and M_0, and from a stray file to its run."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from prov.model import ProvDocument

from pipeline.cli.application import main
from pipeline.cli.lineage import lineage as command
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, write_bytes
from pipeline.core.images import encode_png
from pipeline.core.json_files import read_json, read_jsonl, write_json, write_jsonl
from pipeline.core.tensors import save_tensors
from pipeline.provenance.lineage.ancestry import ancestors, inputs
from pipeline.provenance.lineage.graph import trace
from pipeline.provenance.lineage.identify import find_matches, read_unknown_file
from pipeline.provenance.lineage.prov_document import prov_document, to_json
from pipeline.provenance.lineage.runs import work_tree
from pipeline.versioning.dvc_lock import read_lock
from provenance.verify.recorded import git, record_with_dvc, write_recorded_chain

EXPERIMENT = "fuzzy-oxen"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded chain on branch main, and an experiment with another image in its D_2 and another M_2."""
    root = tmp_path_factory.mktemp("project")
    write_recorded_chain(root)
    (root / "requirements.lock").write_text("# pins\ntorch==2.13.0\nnumpy==2.3.1\n")
    record_with_dvc(root)
    start = git(root, "rev-parse", "HEAD")
    _another_run(root)
    record_with_dvc(root, "another run")
    git(root, "update-ref", f"refs/exps/ab/cdef/{EXPERIMENT}", "HEAD")
    shutil.copy(root / "data/D_2/00003.png", root.parent / "from_experiment.png")
    shutil.copy(root / "models/M_2/lora.safetensors", root.parent / "from_experiment.safetensors")
    git(root, "reset", "-q", "--hard", start)
    for folder in ("data", "traces", "features", "metrics", "analysis", "models/M_2"):
        shutil.rmtree(root / folder)
    write_recorded_chain(root)
    return root


def _another_run(root: Path) -> None:
    content = encode_png(np.full((16, 16, 3), 77, dtype=np.uint8))
    write_bytes(root / "data/D_2/00003.png", content)
    rows = read_jsonl(root / "data/D_2/manifest.jsonl")
    rows[3]["sha256"] = sha256_bytes(content)
    write_jsonl(root / "data/D_2/manifest.jsonl", rows)
    lora = root / "models/M_2/lora.safetensors"
    import torch

    save_tensors(lora, {"lora": torch.full((8,), 99.0)}, {"ss_output_name": "M_2"})
    record = read_json(root / "models/M_2/lineage.json")
    write_json(root / "models/M_2/lineage.json", record | {"lora_sha256": sha256_bytes(lora.read_bytes())})


def test_a_chain_is_followed_back_to_its_start_in_an_order_in_which_it_can_run(project: Path) -> None:
    names = [stage.name for stage in ancestors(read_lock(project), "data/D_2")]
    assert names == ["prepare", "curate@1", "train@1", "sample@1", "curate@2", "train@2", "sample@2"]


def test_inputs_that_the_parameters_leave_unread_are_no_ancestors(project: Path) -> None:
    stages = read_lock(project)
    assert [item.path for item in inputs(stages["curate@2"])] == ["data/D_1/manifest.jsonl"]
    assert "models/M_1" not in [item.path for item in inputs(stages["train@2"])]
    selected = stages["curate@2"]
    selected.params["training_set"] = "select"
    read = {item.path for item in inputs(selected)}
    assert read == {"data/D_0", "data/D_1/manifest.jsonl", "data/T_1.jsonl", "features/1.safetensors"}
    assert "reference" not in {stage.name for stage in ancestors(read_lock(project), "data/D_2")}
    assert "measure@1" in {stage.name for stage in ancestors(stages, "data/T_2.jsonl")}


def test_the_document_is_prov_and_leads_from_d_2_to_d_0_and_m_0(project: Path) -> None:
    text = to_json(prov_document(trace(work_tree(project), "data/D_2", project)))
    assert ProvDocument.deserialize(content=text, format="json").get_records()
    content = json.loads(text)
    made_by = {edge["prov:entity"]: edge["prov:activity"] for edge in content["wasGeneratedBy"].values()}
    read = {(edge["prov:activity"], edge["prov:entity"]) for edge in content["used"].values()}
    reached, todo = set(), ["chain:data/D_2"]
    while todo:
        entity = todo.pop()
        owner = next((path for path in made_by if entity == path or entity.startswith(f"{path}/")), None)
        if owner is not None and owner not in reached:
            reached.add(owner)
            todo += [used for activity, used in read if activity == made_by[owner]]
    assert {"chain:data/D_0", "chain:models/M_0", "chain:data/T_1.jsonl", "chain:models/M_1"} <= reached
    assert content["activity"]["chain:sample@2"]["chain:seed"] == {"$": "0", "type": "xsd:int"}
    assert content["entity"]["chain:models/M_1"]["chain:trainer"] == "builtin"
    code = content["agent"]["chain:software/redifine"]
    assert code["chain:commit"] == git(project, "rev-parse", "HEAD")
    assert set(code["chain:library"]) == {"torch 2.13.0", "numpy 2.3.1"}
    assert code["chain:machine"] == "Abacus 9, torch 2.13.0"


def test_the_same_question_has_the_same_bytes(project: Path) -> None:
    first, second = (to_json(prov_document(trace(work_tree(project), "models/M_2", project))) for _ in range(2))
    assert first == second


def test_a_stray_image_is_found_in_the_work_tree_by_its_bytes(project: Path, tmp_path: Path) -> None:
    stray = tmp_path / "renamed by someone.png"
    shutil.copy(project / "data/D_1/00002.png", stray)
    (origin,) = find_matches(read_unknown_file(stray), project)
    assert (origin.run.name, origin.target, origin.exact) == ("workspace", "data/D_1", True)
    assert origin.row["file"] == "00002.png"


@pytest.mark.parametrize(
    ("name", "target"), [("from_experiment.png", "data/D_2"), ("from_experiment.safetensors", "models/M_2")]
)
def test_a_stray_file_of_an_experiment_is_found_there(project: Path, name: str, target: str) -> None:
    (origin,) = find_matches(read_unknown_file(project.parent / name), project)
    assert (origin.run.name, origin.target, origin.exact) == (EXPERIMENT, target, True)


def test_a_lora_of_the_work_tree_is_found(project: Path) -> None:
    (origin,) = find_matches(read_unknown_file(project / "models/M_1/lora.safetensors"), project)
    assert (origin.run.name, origin.target, origin.exact) == ("workspace", "models/M_1", True)


@pytest.mark.parametrize(("iteration", "target"), [("2", "data/D_2"), (None, "models/M_2")])
def test_an_image_that_was_saved_again_is_traced_by_its_own_words(
    project: Path, tmp_path: Path, iteration: str | None, target: str
) -> None:
    lora = read_json(project / "models/M_2/lineage.json")["lora_sha256"]
    said = f"a cat\nSteps: 3, Lora sha256: {lora}" + (f", Iteration: {iteration}" if iteration else "")
    write_bytes(tmp_path / "a.png", encode_png(np.zeros((8, 8, 3), dtype=np.uint8), {"parameters": said}))
    (origin,) = find_matches(read_unknown_file(tmp_path / "a.png"), project)
    assert (origin.run.name, origin.target, origin.exact) == ("workspace", target, False)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
@pytest.mark.parametrize("place", [33, -12], ids=["before the pixels", "behind them"])
def test_text_of_another_program_hides_no_image_however_large(project: Path, tmp_path: Path, kind: bytes, place: int) -> None:
    lora = read_json(project / "models/M_2/lineage.json")["lora_sha256"]
    said = f"a cat\nSteps: 3, Lora sha256: {lora}, Iteration: 2"
    png = encode_png(np.zeros((8, 8, 3), dtype=np.uint8), {"parameters": said})
    text = b"workflow\0" + (b"\0" if kind == b"zTXt" else b"\1\0\0\0") + zlib.compress(bytes(80 << 20))
    chunk = struct.pack(">I", len(text)) + kind + text + struct.pack(">I", zlib.crc32(kind + text))
    write_bytes(tmp_path / "a.png", png[:place] + chunk + png[place:])
    (origin,) = find_matches(read_unknown_file(tmp_path / "a.png"), project)
    assert (origin.run.name, origin.target, origin.exact) == ("workspace", "data/D_2", False)


def test_a_stranger_ends_in_a_sentence_with_its_own_words(project: Path, tmp_path: Path) -> None:
    write_bytes(
        tmp_path / "a.png", encode_png(np.zeros((8, 8, 3), dtype=np.uint8), {"parameters": "a cat\nSeed: 5, Model: other"})
    )
    with pytest.raises(UserError, match="belongs to no run that is known here .it says: Model other, Seed 5."):
        find_matches(read_unknown_file(tmp_path / "a.png"), project)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jpg", b"", "neither a .png nor a .safetensors"),
        ("a.png", b"no image", "damaged or no image"),
        ("a.safetensors", b"none", "not a whole safetensors file"),
        ("none.png", None, "there is no file"),
    ],
)
def test_a_file_that_cannot_be_read_ends_in_a_sentence(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_unknown_file(tmp_path / name)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ([], ["data/D_2 of workspace", "k = 2", "k = 0", "sample@1: seed 0, cfg 7.5", "torch 2.13.0", "builtin"]),
        (["1"], ["data/D_1 of workspace", "train@1"]),
        (["M_2"], ["models/M_2 of workspace", "trained on: Abacus 9, torch 2.13.0"]),
        (["data/D_2/00003.png"], ["00003.png is 00003.png in data/D_2 of workspace", "of prompt 3: "]),
        (["../from_experiment.png"], [f"data/D_2 of {EXPERIMENT}"]),
    ],
)
def test_the_command_draws_a_tree(project: Path, monkeypatch: pytest.MonkeyPatch, what: list[str], words: list[str]) -> None:
    monkeypatch.chdir(project)
    done = CliRunner().invoke(command, what)
    assert done.exit_code == 0, done.output
    assert all(word in done.stdout for word in words), done.stdout


def test_the_command_prints_prov_json_of_a_stray_file_as_a_member_of_its_d_k(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    content = json.loads(CliRunner().invoke(command, ["data/D_1/00004.png", "--json"]).stdout)
    (member,) = content["hadMember"].values()
    assert (member["prov:collection"], member["prov:entity"]) == ("chain:data/D_1", "chain:file/00004.png")
    assert content["entity"]["chain:file/00004.png"]["chain:sha256"] == sha256_bytes(Path("data/D_1/00004.png").read_bytes())


def test_what_is_not_recorded_exits_with_2(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    main.add_command(command)
    done = CliRunner().invoke(main, ["lineage", "9"])
    assert done.exit_code == 2 and "records no data/D_9; its iterations are 0 to 2" in done.stderr


def test_our_own_pngs_say_which_lora_drew_them(tmp_path: Path) -> None:
    """The field that `lineage` reads is the one that the sampler writes."""
    from pipeline.diffusion.lora import LoraFile
    from pipeline.methods.schedules.constant import Constant
    from pipeline.sample.png import KEY, ImageLineage, format_parameters
    from pipeline.sample.sampler import SampleSettings

    settings = SampleSettings(Constant(7.5))
    fields = ImageLineage("base", "b" * 64, LoraFile("M_3", "c" * 64, "d" * 64), 7.5, settings, k=3).fields(0, 0, 1)
    write_bytes(tmp_path / "a.png", encode_png(np.zeros((8, 8, 3), dtype=np.uint8), {KEY: format_parameters("a cat", fields)}))
    assert Image.open(tmp_path / "a.png").size == (8, 8)
    stray = read_unknown_file(tmp_path / "a.png")
    assert (stray.model_sha256, stray.says["Iteration"]) == ("c" * 64, "3")
