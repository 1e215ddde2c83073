"""`redifine verify K`: computed again, compared with the record, the work tree untouched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from chains import parameters
from pipeline.chain.paths import Layout
from pipeline.cli.application import main
from pipeline.cli.verify import verify as command
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_file
from pipeline.core.json_files import read_jsonl, write_json
from pipeline.provenance.verify import recompute
from pipeline.provenance.verify.comparison import Tolerance
from pipeline.provenance.verify.scratch import scratch_project
from pipeline.versioning.changed_code import changed_code
from pipeline.versioning.dvc_lock import read_lock
from provenance.verify.recorded import record_with_dvc, write_recorded_chain

SMALL = {"prompts": 4, "epochs": 1, "updates": 2, "batch_size": 2, "steps": 2, "rank": 2, "sample_batch": 3, "cfg": 3.0}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """D_0, T_1, M_1 and D_1 as the stages make them, without DVC."""
    root = tmp_path_factory.mktemp("computed")
    shutil.copytree(tiny_model, root / "models/miniature")
    write_json(root / "params.yaml", parameters(1, **SMALL).model_dump())
    before = Path.cwd()
    os.chdir(root)
    try:
        for arguments in (["prepare"], ["curate", "--k", "1"], ["train", "--k", "1"], ["sample", "--k", "1"]):
            done = CliRunner().invoke(main, [*arguments, *(["--device", "cpu"] if arguments[0] in ("train", "sample") else [])])
            assert done.exit_code == 0, done.output
    finally:
        os.chdir(before)
    return root


def contents(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): sha256_file(path) for path in root.rglob("*") if path.is_file()}


def test_an_iteration_computed_again_is_byte_equal_and_the_work_tree_untouched(
    computed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(computed)
    before = contents(computed)
    done = CliRunner().invoke(command, ["1", "--device", "cpu", "--json"])
    told = json.loads(done.stdout)
    assert [entry["path"] for entry in told["comparisons"] if not entry["equal"]] == []
    assert {"data/T_1.jsonl", "models/M_1/lora.safetensors", "data/D_1/00003.png", "traces/1.safetensors"} <= {
        entry["path"] for entry in told["comparisons"]
    }
    assert done.exit_code == 0 and contents(computed) == before


def test_single_images_are_drawn_with_the_recorded_model_and_a_false_one_is_told(
    computed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(computed, root)
    shutil.copy(root / "data/D_0/00002.png", root / "data/D_1/00002.png")
    monkeypatch.chdir(root)
    done = CliRunner().invoke(command, ["1", "--images", "0,2", "--device", "cpu", "--json"])
    true, false = json.loads(done.stdout)["comparisons"]
    assert (true["path"], true["holds"]) == ("data/D_1/00000.png", True)
    assert (false["path"], false["holds"]) == ("data/D_1/00002.png", False)
    assert false["measured"]["psnr"] < 30 and false["measured"]["feature_distance"] > 0
    assert done.exit_code == 1


def test_an_iteration_that_came_alone_is_drawn_again_from_the_recorded_lora(
    computed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(computed, root, ignore=lambda folder, names: {"D_0"} & set(names))
    monkeypatch.chdir(root)
    done = CliRunner().invoke(command, ["1", "--images", "all", "--device", "cpu"])
    assert done.exit_code == 0 and "4 of 4 files byte-equal" in done.stdout
    done = CliRunner().invoke(command, ["1", "--device", "cpu"])
    assert done.exit_code == 0 and "4 of 4 files byte-equal" in done.stdout
    assert "data/D_0 is not here, and M_1 was finetuned from it: M_1 is taken as it is" in done.stderr


def test_prepare_made_again_is_byte_equal(computed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(computed)
    done = CliRunner().invoke(command, ["0"])
    assert done.exit_code == 0 and "8 of 8 files byte-equal" in done.stdout


def test_an_iteration_that_is_not_here_is_an_error_before_anything_is_computed(
    computed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(computed)
    main.add_command(command)
    done = CliRunner().invoke(main, ["verify", "5"])
    assert done.exit_code == 2 and "data/T_5.jsonl is not here" in done.stderr


def test_a_scratch_copy_has_links_to_inputs_and_its_own_outputs(computed: Path) -> None:
    with scratch_project(computed, parameters(1, **SMALL), ["data/D_1", "traces/1.safetensors"], [3, 1]) as scratch:
        assert (scratch / "data/D_0").is_symlink() and (scratch / "models/miniature").is_symlink()
        assert not (scratch / "data/D_1").exists()
        assert [row["index"] for row in read_jsonl(Layout(scratch).prompts)] == [1, 3]
    assert not scratch.exists() and (computed / "data/D_0/00001.png").is_file()


def test_a_prompt_that_there_is_not_is_an_error(computed: Path) -> None:
    with pytest.raises(UserError, match="names prompt 9, and .*prompts.jsonl has none"):
        recompute.verify(computed, 1, [9], "cpu", Tolerance(), "runs nothing")


def test_the_recorded_parameters_win_over_params_yaml_and_changed_code_is_told(tmp_path: Path) -> None:
    write_recorded_chain(tmp_path)
    record_with_dvc(tmp_path)
    stages = read_lock(tmp_path)
    write_json(tmp_path / "params.yaml", parameters(2, cfg=1.5).model_dump())
    params, notes = recompute.recorded_params(tmp_path, {"sample@2": stages["sample@2"]})
    assert params.cfg == 7.5 and len(notes) == 1 and "cfg: 1.5" in notes[0]
    assert changed_code(tmp_path, stages) == []
    (tmp_path / "pipeline/prepare/stage.py").write_text("# other code\n")
    assert changed_code(tmp_path, stages) == ["pipeline/prepare"]
