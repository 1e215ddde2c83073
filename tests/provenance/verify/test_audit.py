"""`redifine verify --all`: whatever is tampered with is found and named, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.application import main
from pipeline.cli.verify import verify as command
from pipeline.core.json_files import read_json, read_jsonl, write_json, write_jsonl
from pipeline.provenance.verify.audit import Audit, audit
from pipeline.provenance.verify.findings import Finding
from pipeline.versioning.dvc_lock import read_lock
from pipeline.versioning.hashes import folder_md5
from provenance.verify.recorded import chain_paths, record_with_dvc, write_recorded_chain

ROUNDS, TAMPERINGS = 10, 10


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "chain"
    write_recorded_chain(root)
    record_with_dvc(root)
    return root


@pytest.fixture
def chain(recorded: Path, tmp_path: Path) -> Path:
    """A copy to tamper with, with dvc.lock."""
    return Path(shutil.copytree(recorded, tmp_path / "chain"))


@pytest.fixture
def bare(chain: Path) -> Path:
    """The chain's own records alone."""
    for name in (".dvc", ".git", "dvc.lock", "dvc.yaml"):
        path = chain / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return chain


def named(found: Audit) -> dict[str, str]:
    return {finding.path: finding.kind for finding in found.findings}


def flip_a_bit(path: Path, draw: random.Random) -> None:
    content, stamp = bytearray(path.read_bytes()), path.stat()
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    # As a failing disk would leave it: DVC's own status goes by size and time, and sees nothing.
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def tamper(root: Path, victims: list[str], draw: random.Random) -> list[str]:
    """Flip a bit of, delete, or swap the first one or two victims; returns those that are now wrong."""
    kind = draw.choice(["flip", "flip", "delete", "swap"])
    first = root / victims[0]
    if kind == "flip" and first.stat().st_size:
        flip_a_bit(first, draw)
        return victims[:1]
    second = root / victims[1]
    if kind == "swap" and first.read_bytes() != second.read_bytes():
        a, b = first.read_bytes(), second.read_bytes()
        first.write_bytes(b)
        second.write_bytes(a)
        return victims[:2]
    first.unlink()
    return victims[:1]


def test_an_untouched_chain_is_as_recorded(recorded: Path) -> None:
    found = audit(recorded)
    assert found.findings == () and found.unrecorded == ()
    assert found.files == len(chain_paths(recorded))


def test_an_untouched_chain_without_dvc_is_as_recorded_as_far_as_it_records_itself(bare: Path) -> None:
    found = audit(bare)
    assert found.findings == ()
    assert {"features/1.safetensors", "metrics/2.json", "traces/1.safetensors"} <= set(found.unrecorded)
    assert not any(path.startswith("data/D_") for path in found.unrecorded)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_ten_random_tamperings_at_a_time_are_all_named_and_nothing_else_is(chain: Path, seed: int) -> None:
    draw = random.Random(seed)
    victims = chain_paths(chain)
    draw.shuffle(victims)
    wrong = [path for i in range(TAMPERINGS) for path in tamper(chain, victims[2 * i : 2 * i + 2], draw)]
    assert set(named(audit(chain))) == set(wrong)


@pytest.mark.parametrize("seed", range(3))
def test_without_dvc_the_chains_own_records_find_images_loras_and_captions(bare: Path, seed: int) -> None:
    draw = random.Random(seed)
    covered = [path for path in chain_paths(bare) if path.endswith((".png", "lora.safetensors", "weights.safetensors"))]
    victims = [path for path in covered if "clip" not in path]
    draw.shuffle(victims)
    wrong = [path for i in range(6) for path in tamper(bare, victims[2 * i : 2 * i + 2], draw)]
    assert set(named(audit(bare))) == set(wrong)


def edit_prompt(root: Path) -> None:
    rows = read_jsonl(root / "data/prompts.jsonl")
    rows[3]["prompt"] += " "
    write_jsonl(root / "data/prompts.jsonl", rows)


def edit_row(path: str, line: int, key: str, value: object) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        rows = read_jsonl(root / path)
        rows[line - 1][key] = value
        write_jsonl(root / path, rows)

    return edit


def drop_row(path: str) -> Callable[[Path], None]:
    return lambda root: write_jsonl(root / path, read_jsonl(root / path)[:-1])


def edit_json(path: str, key: str, value: object) -> Callable[[Path], None]:
    return lambda root: write_json(root / path, read_json(root / path) | {key: value})


M_0, M_1 = "models/M_0/base.json", "models/M_1/lineage.json"
D_0, D_1, D_2 = (f"data/D_{k}/manifest.jsonl" for k in range(3))
T_1, T_2 = "data/T_1.jsonl", "data/T_2.jsonl"

EDITS = {
    "a prompt in P": (edit_prompt, "data/prompts.jsonl", "line 4: the text of prompt 3 is not"),
    "a prompt in a manifest": (edit_row(D_1, 2, "prompt", "a dog"), D_1, "line 2: the text of prompt 1 is not"),
    "a caption": (edit_row(T_2, 5, "caption", "a dog"), T_2, "line 5: the text of prompt 4 is not"),
    "a hash": (edit_row(D_0, 1, "sha256", "0" * 64), D_0, "line 1: the sha256 of data/D_0/00000.png is not"),
    "another image in T_k": (
        edit_row(T_1, 3, "path", "data/D_0/00004.png"),
        T_1,
        "line 3: data/D_0/00004.png is not the image",
    ),
    "another base of M_1": (edit_json(M_1, "base_sha256", "0" * 64), M_1, "the sha256 of M_0 is not"),
    "M_0's own hash": (edit_json(M_0, "sha256", "0" * 64), M_0, "its sha256 is not that of the files"),
    "a row less": (drop_row(D_2), D_2, "no line has an image of prompt 4"),
}


@pytest.mark.parametrize(("edit", "path", "words"), EDITS.values(), ids=EDITS)
def test_an_edited_record_is_named_with_its_line_with_and_without_dvc(
    chain: Path, edit: Callable[[Path], None], path: str, words: str
) -> None:
    edit(chain)
    found = audit(chain).findings
    assert {finding.path for finding in found} == {path}
    (chain / "dvc.lock").unlink()
    assert any(finding.path == path and words in finding.detail for finding in audit(chain).findings)


def test_an_edited_seed_is_found_from_the_runs_own_seed(chain: Path) -> None:
    edit_row("data/D_2/manifest.jsonl", 3, "seed", 12345)(chain)
    details = [finding.detail for finding in audit(chain).findings if finding.path == "data/D_2/manifest.jsonl"]
    assert any("line 3: the seed is not" in detail for detail in details)


def test_swapped_images_are_told_from_changed_ones(chain: Path) -> None:
    a, b = chain / "data/D_1/00001.png", chain / "data/D_1/00002.png"
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    for _ in ("with dvc.lock", "without"):
        found = [finding for finding in audit(chain).findings if finding.path != "dvc.lock"]
        assert [finding.kind for finding in found] == ["swapped", "swapped"]
        assert "data/D_1/00002.png" in found[0].detail and "data/D_1/00001.png" in found[1].detail
        (chain / "dvc.lock").unlink(missing_ok=True)


def test_extra_files_and_missing_folders_are_named(chain: Path) -> None:
    shutil.copy(chain / "data/D_1/00001.png", chain / "data/D_1/00099.png")
    (chain / "metrics/7.json").write_text("{}\n")
    shutil.rmtree(chain / "models/M_2")
    assert named(audit(chain)) == {"data/D_1/00099.png": "extra", "metrics/7.json": "extra", "models/M_2": "missing"}


def test_names_in_a_strangers_manifest_cannot_steer_the_terminal(bare: Path) -> None:
    edit_row("data/D_1/manifest.jsonl", 2, "file", "\x1b[2Jno.png")(bare)
    told = [str(finding) for finding in audit(bare).findings]
    assert told and all(sentence.isprintable() for sentence in told)
    assert str(Finding("data/\x1b[2Jno.png", "extra", "it")) == "data/\\x1b[2Jno.png: extra: it"


def test_a_changed_hash_in_dvc_lock_is_found(chain: Path) -> None:
    lock = (chain / "dvc.lock").read_text()
    md5 = next(item.md5 for item in read_lock(chain)["train@1"].outs)
    (chain / "dvc.lock").write_text(lock.replace(md5, "0" * 32 + ".dir", 1))
    assert "dvc.lock" in named(audit(chain))


def test_a_file_changed_together_with_dvc_lock_is_told_from_what_git_holds(chain: Path) -> None:
    assert audit(chain).uncommitted == ()
    before = (chain / "metrics/2.json").read_bytes()
    (chain / "metrics/2.json").write_bytes(before + b" ")
    old, new = (hashlib.md5(content).hexdigest() for content in (before, before + b" "))
    lock = (chain / "dvc.lock").read_text()
    assert old in lock
    (chain / "dvc.lock").write_text(lock.replace(old, new))
    found = audit(chain)
    assert (found.findings, found.uncommitted) == ((), ("measure@2",))


def test_without_dvcs_list_of_a_folders_files_the_folder_is_named(chain: Path) -> None:
    shutil.rmtree(chain / ".dvc/cache")
    assert audit(chain).findings == ()
    (chain / "models/M_1/loss.csv").write_text("step,loss\n")
    assert named(audit(chain)) == {"models/M_1": "changed"}


def test_a_folders_hash_is_dvcs(recorded: Path) -> None:
    from dvc.repo import Repo

    from pipeline.versioning.hashes import digest_file

    files = {path.name: digest_file(path) for path in (recorded / "data/D_1").iterdir()}
    md5s = {name: digest.md5 for name, digest in files.items() if digest is not None}
    with Repo(str(recorded)) as repo:
        out = next(out for out in repo.index.outs if out.def_path == "data/D_1")
        assert folder_md5(md5s) == out.hash_info.value


def test_the_command_tells_and_exits_with_1_when_something_is_wrong(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chain)
    assert CliRunner().invoke(command, ["--all"]).exit_code == 0
    (chain / "data/D_1/00003.png").unlink()
    told = CliRunner().invoke(command, ["--all"])
    assert told.exit_code == 1 and "data/D_1/00003.png: missing" in told.stdout
    as_json = CliRunner().invoke(command, ["--all", "--json"])
    assert as_json.exit_code == 1
    assert [entry["path"] for entry in json.loads(as_json.stdout)["findings"]] == ["data/D_1/00003.png"]


@pytest.mark.parametrize(
    "arguments", [[], ["3", "--all"], ["0", "--images", "1"], ["1", "--images", "a"], ["--all", "--images", "1"]]
)
def test_wrong_use_exits_with_2(chain: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(chain)
    assert CliRunner().invoke(command, arguments).exit_code == 2


def test_a_folder_without_a_chain_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main.add_command(command)
    told = CliRunner().invoke(main, ["verify", "--all"])
    assert told.exit_code == 2 and "holds no chain" in told.stderr
