"""One project with Git and DVC for all tests: making it takes seconds."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.compare import collect
from pipeline.cli.compare import compare as command
from pipeline.cli.theory import theory
from pipeline.core.errors import UserError
from pipeline.studies.compare.groups import Setting
from pipeline.studies.compare.runs import read_run
from pipeline.versioning.revisions import open_revisions
from studies.compare.stored_runs import chain_files


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def record(root: Path, files: dict[str, bytes]) -> None:
    """Put a chain into the work tree, into DVC's cache and dvc.lock."""
    from dvc.repo import Repo
    from ruamel.yaml import YAML

    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).unlink(missing_ok=True)
        (root / name).write_bytes(content)
    outs = sorted({name if not name.startswith("data/") else name.rsplit("/", 1)[0] for name in files} - {"params.yaml"})
    YAML().dump({"stages": {"all": {"cmd": "true", "outs": outs}}}, root / "dvc.yaml")
    with Repo(str(root)) as repo:
        repo.commit(force=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Branches main (nothing run) and low, tag high, experiment try-3; the work tree holds yet another chain."""
    from dvc.repo import Repo

    root = tmp_path_factory.mktemp("project")
    git(root, "init", "-q", "-b", "main")
    Repo.init(str(root)).close()
    (root / "params.yaml").write_bytes(chain_files(1.0)["params.yaml"])
    (root / ".gitignore").write_text("/data\n/metrics\n/features\n")
    git(root, "config", "user.name", "T")
    git(root, "config", "user.email", "t@example.org")
    _commit(root, "start")
    git(root, "checkout", "-qb", "low")
    record(root, chain_files(1.0))
    _commit(root, "low")
    git(root, "checkout", "-qb", "later")
    record(root, chain_files(7.0))
    _commit(root, "high")
    git(root, "tag", "high")
    record(root, chain_files(7.0, seed=3))
    with Repo(str(root)) as repo:
        repo.experiments.save(name="try-3", force=True)
    git(root, "reset", "-q", "--hard", "high")
    record(root, chain_files(100.0))
    yield root


def _commit(root: Path, message: str) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", message)


def found(root: Path, *names: str) -> list[Setting]:
    return collect(names, False, ("seed",), root)[0]


def test_every_kind_of_name_gives_the_values_of_its_own_revision(project: Path) -> None:
    names = ["low", "high", "try-3", "workspace"]
    runs = [read_run(revision, revision.name) for revision in open_revisions(names, project)]
    assert [(run.name, run.value("fid", 2), run.seed) for run in runs] == [
        ("low", 20.0, 0), ("high", 140.0, 0), ("try-3", 143.0, 3), ("workspace", 2000.0, 0),
    ]  # fmt: skip


def test_seeds_are_averaged_over_tags_and_experiments(project: Path) -> None:
    low, high = found(project, "low", "high", "try-3")
    assert [member.value("fid", 1) for member in high.runs] == [70.0, 73.0]
    assert (low.name, high.name) == ("cfg=1", "cfg=7")


def test_a_commit_named_twice_counts_once(project: Path) -> None:
    commit = git(project, "rev-parse", "high")
    assert [str(revision) for revision in open_revisions(["high", commit, commit[:8]], project)] == [f"high ({commit[:7]})"]


def test_the_command_prints_numbers_and_writes_a_page(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(project)
    printed = CliRunner().invoke(command, ["low", "--experiments", "--json"])
    assert [entry["setting"] for entry in json.loads(printed.stdout)["settings"]] == ["cfg=1", "cfg=7"]
    written = CliRunner().invoke(command, ["low", "high", "--out", str(tmp_path / "page.html"), "--metric", "fid"])
    assert written.exit_code == 0, written.output
    assert "2 settings" in written.stdout and "cfg=7" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("low", "nowhere"), "'nowhere' is no commit, branch, tag or experiment here; see 'git branch -a'"),
        (("main",), r"main \(.{7}\) has no metrics .*dvc repro"),
        ((), "name at least one revision"),
    ],
)
def test_wrong_names_end_in_a_sentence(project: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        found(project, *names)


def test_a_file_that_is_nowhere_is_named_with_its_revision(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    shutil.rmtree(copy / ".dvc/cache")
    with pytest.raises(UserError, match=r"low \(.{7}\) lacks metrics/0.json here: .*dvc fetch"):
        found(copy, "low")


def test_what_the_cache_lacks_comes_from_the_default_remote(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    (copy / ".dvc/cache").rename(tmp_path / "remote")
    (copy / ".dvc/config.local").write_text(f"[core]\n    remote = far\n['remote \"far\"']\n    url = {tmp_path / 'remote'}\n")
    assert [member.value("fid", 1) for member in found(copy, "low")[0].runs] == [10.0]


def test_outside_a_project_the_command_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no DVC project"):
        found(tmp_path, "main")


def test_an_unknown_parameter_to_group_by_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match="--group-by sead is no parameter"):
        collect(("low",), False, ("sead",), project)


def test_the_theory_reads_revisions_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    refusal = CliRunner().invoke(theory, ["fit", "low", "high"]).exception
    assert isinstance(refusal, UserError)
    assert str(refusal).startswith("cfg=1: a fit needs the power of at least 3 iterations")
