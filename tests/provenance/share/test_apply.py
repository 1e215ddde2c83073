"""`redifine exp apply` and `get --exp` in real clones: an experiment comes, HEAD, edits and later files stay."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.versioning.git import remove_dangling_link
from pipeline.versioning.put_away import put_away
from project import ROOT
from provenance.share.share_project import clone, commit, dvc, git, identify, inside, redifine, tree

SD_SCRIPTS = "ae72efb92babe89ff8e70f057e42db68440e8d61"
ENTRY = f"160000 commit {SD_SCRIPTS}\tvendor/sd-scripts"


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run this package's command line in a process of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": path, "PYTHONPATH": str(ROOT), "TALLY": str(folder.parent / "tally"), "DVC_NO_ANALYTICS": "1"
    }  # fmt: skip
    words = (sys.executable, "-m", "pipeline", *words)
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)


def entry(folder: Path, revision: str) -> str:
    return git(folder, "ls-tree", revision, "vendor/sd-scripts")


def reference(folder: Path, name: str) -> str:
    return git(folder, "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}")


def cfg(folder: Path) -> str:
    return (folder / "params.yaml").read_text().split("\ncfg: ")[1].split()[0]


@pytest.fixture(scope="module")
def experiments(finished_chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished project with sd-scripts' entry and no sd-scripts, and three experiments of plain DVC; read only.

    `plain` ran in the work tree, with an edited stage and a new note; `copied` in a copy of it. Then HEAD moved on.
    """
    shutil.copytree(finished_chain.parent, tmp_path_factory.mktemp("apply") / "world", symlinks=True)
    project = tmp_path_factory.getbasetemp() / "apply0/world/a"
    shutil.copy(ROOT / ".gitmodules", project)
    (project / "vendor/sd-scripts").mkdir(parents=True)
    git(project, "add", ".gitmodules")
    git(project, "update-index", "--add", "--cacheinfo", f"160000,{SD_SCRIPTS},vendor/sd-scripts")
    git(project, "commit", "--quiet", "-m", "sd-scripts")
    (project / "pipeline/sample/stand-in").write_text("edited\n")
    dvc(project, "exp", "run", "-S", "cfg=2.5", "--name", "plain")
    git(project, "checkout", "--quiet", "--", ".")
    dvc(project, "exp", "run", "--temp", "-S", "cfg=3.5", "--name", "copied")
    dvc(project, "checkout", "--quiet")
    remove_dangling_link(project)  # as each command of ours does
    (project / "later.txt").write_text("of a later commit\n")
    (project / "presets").mkdir()
    (project / "presets/mine.yaml").write_text("cfg: 3\n")
    git(project, "add", "later.txt", "presets")
    git(project, "commit", "--quiet", "-m", "later")
    git(project, "push", "--quiet")
    return project


@pytest.fixture
def project(experiments: Path, tmp_path: Path) -> Path:
    shutil.copytree(experiments.parent, tmp_path / "world", symlinks=True)
    return tmp_path / "world/a"


def apply(project: Path, name: str, *options: str) -> str:
    return redifine(project, "exp", "apply", name, *options)


def test_an_experiment_is_applied_and_all_else_stays(project: Path) -> None:
    (project / "notes.txt").write_text("my own\n")
    (project / "later.txt").write_text("edited after its commit\n")
    config = (project / ".dvc/config").read_bytes()
    head = git(project, "rev-parse", "HEAD")
    said = apply(project, "plain")
    assert cfg(project) == "2.5" and "cfg: 2.5" in (project / "dvc.lock").read_text()
    assert (project / "pipeline/sample/stand-in").read_text() == "edited\n"
    assert (project / "analysis/1.json").read_text() == '{"k": 1, "cfg": 2.5}'
    assert said.startswith("dvc.lock, params.yaml, pipeline/sample/stand-in and 1 more are the experiment's now")
    assert (project / "notes.txt").read_text() == "my own\n"
    assert (project / "later.txt").read_text() == "edited after its commit\n"
    assert (project / "presets/mine.yaml").is_file() and (project / ".dvc/config").read_bytes() == config
    assert git(project, "rev-parse", "HEAD") == head and git(project, "diff", "--cached", "--name-only") == ""
    assert "vendor" not in git(project, "status", "--short")
    assert put_away(project) is None


def test_one_experiment_after_another_is_applied(project: Path) -> None:
    """What the first has left in the work tree is in its commit, so that nothing is lost."""
    for name, value in (("plain", "2.5"), ("copied", "3.5"), ("plain", "2.5")):
        apply(project, name)
        assert cfg(project) == value
        assert f'"cfg": {value}' in (project / "analysis/3.json").read_text()
    assert "nothing to change" in apply(project, "plain")


def test_applying_runs_nothing_again(project: Path) -> None:
    apply(project, "plain")
    assert "Running stage" not in dvc(project, "repro")


@pytest.mark.parametrize(
    ("path", "content", "sentence"),
    [
        ("params.yaml", None, "params.yaml differs from the last commit"),
        ("dvc.lock", None, "dvc.lock differs from the last commit"),
        ("pipeline/sample/stand-in", "mine\n", "pipeline/sample/stand-in differs from the last commit"),
        ("data/D_1/00000.png", "mine\n", "data/D_1/00000.png is in no cache and would be lost"),
        ("metrics/2.json", '{"fid": 0}', "metrics/2.json is in no cache and would be lost"),
    ],
    ids=["params", "lock", "code", "image", "metrics"],
)
def test_an_edit_that_would_be_lost_refuses_the_whole(project: Path, path: str, content: str | None, sentence: str) -> None:
    edited = project / path
    kept = content if content is not None else edited.read_text() + "# mine\n"
    edited.unlink()
    edited.write_text(kept)
    before = tree(project)
    with pytest.raises(UserError, match=sentence):
        apply(project, "plain")
    after = tree(project)
    ours = {name for name in after if not name.startswith((".git/", ".dvc/tmp/", ".dvc/cache/"))}
    assert {name for name in ours if after[name] != before.get(name)} == set()
    assert ours == {name for name in before if not name.startswith((".git/", ".dvc/tmp/", ".dvc/cache/"))}
    apply(project, "plain", "--force")
    assert cfg(project) == "2.5"


def test_a_file_that_only_the_experiment_knows_does_not_overwrite_one_that_git_does_not_know(project: Path) -> None:
    git(project, "checkout", "--quiet", "--detach", reference(project, "copied"))
    (project / "idea.txt").write_text("the experiment's\n")
    git(project, "add", "idea.txt")
    git(project, "commit", "--quiet", "-m", "idea")
    git(project, "update-ref", reference(project, "copied"), "HEAD")
    git(project, "checkout", "--quiet", "main")
    (project / "idea.txt").write_text("mine\n")
    with pytest.raises(UserError, match=r"idea.txt is not in Git, and the experiment would overwrite it"):
        apply(project, "copied")
    assert (project / "idea.txt").read_text() == "mine\n" and cfg(project) == "7.5"


def test_unknown_names_are_a_sentence(project: Path) -> None:
    with pytest.raises(UserError, match="there is no experiment 'nowhere' here"):
        apply(project, "nowhere")


@pytest.mark.parametrize("name", ["plain", "copied"])
def test_an_experiment_that_lost_the_submodule_gets_it_back(project: Path, name: str) -> None:
    """Plain DVC commits the deletion; everything else of the commit stays."""
    lost = git(project, "rev-parse", reference(project, name))
    assert entry(project, lost) == ""
    apply(project, name)
    kept = git(project, "rev-parse", reference(project, name))
    assert entry(project, kept) == ENTRY
    assert git(project, "diff", "--name-only", lost, kept) == "vendor/sd-scripts"
    says = "--format=%an %ae %at %cn %ce %ct %P %B"
    assert git(project, "log", "-1", says, lost) == git(project, "log", "-1", says, kept)
    assert apply(project, name) and git(project, "rev-parse", reference(project, name)) == kept


def test_an_experiment_of_ours_keeps_the_submodule(project: Path) -> None:
    done = command(project, "exp", "run", "-S", "cfg=4.5", "--name", "ours")
    assert done.returncode == 0, done.stderr
    assert entry(project, reference(project, "ours")) == ENTRY == entry(project, "HEAD")
    assert git(project, "diff", "--name-only", "HEAD", reference(project, "ours")).split() == [
        "dvc.lock", "params.yaml", "report/summary.json",
    ]  # fmt: skip


def test_what_a_plain_apply_has_put_away_is_told_and_brought_back(project: Path) -> None:
    """DVC's own command fails, or succeeds without the edits; both times they lie under a reference of its own."""
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "# mine\n")
    (project / "later.txt").write_text("edited\n")
    (project / "notes.txt").write_text("my own\n")
    edits = {name: (project / name).read_text() for name in ("params.yaml", "later.txt", "notes.txt")}
    words = [sys.executable, "-m", "dvc", "exp", "apply", "plain"]
    with inside(project), pytest.raises(subprocess.SubprocessError):
        subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    found = put_away(project)
    assert found is not None and {"params.yaml", "notes.txt"} <= set(found.files)
    assert "redifine exp restore" in redifine(project, "status")
    redifine(project, "exp", "restore")
    assert {name: (project / name).read_text() for name in edits} == edits
    assert put_away(project) is None


def test_what_was_put_away_never_overwrites_a_newer_edit(project: Path) -> None:
    (project / "later.txt").write_text("edited\n")
    stash = git(project, "stash", "create")
    git(project, "update-ref", "refs/exps/apply/stash", stash)
    (project / "later.txt").write_text("edited again\n")
    with pytest.raises(UserError, match="later.txt was edited after another one was put away"):
        redifine(project, "exp", "restore")
    assert (project / "later.txt").read_text() == "edited again\n"
    apply(project, "plain")
    assert git(project, "rev-parse", "refs/exps/apply/stash") == stash


def test_get_takes_results_and_no_code_in_a_fresh_clone(project: Path) -> None:
    redifine(project, "share", "--exp", "plain")
    b = clone(project, "b")
    config, stage = (b / ".dvc/config").read_bytes(), (b / "pipeline/sample/stand-in").read_text()
    said = redifine(b, "get", "--exp", "plain")
    assert cfg(b) == "2.5" and "2.5" in (b / "report/summary.json").read_text() + (b / "dvc.lock").read_text()
    assert tree(b / "data/D_1") != tree(project / "data/D_1") and len(tree(b / "data/D_1")) == 5
    assert (b / ".dvc/config").read_bytes() == config and (b / "later.txt").is_file()
    assert (b / "pipeline/sample/stand-in").read_text() == stage == "stand-in\n"
    assert git(b, "status", "--short").split() == ["M", "dvc.lock", "M", "params.yaml", "M", "report/summary.json"]
    commit_of_it = git(b, "rev-parse", "--short=7", reference(b, "plain"))
    assert "plain ran other code than is here (pipeline/sample)" in said and f"worktree add ../plain {commit_of_it}" in said
    assert entry(b, reference(b, "plain")) == ENTRY


def test_get_says_nothing_of_code_that_is_the_same(project: Path) -> None:
    said = redifine(project, "get", "--exp", "copied")
    assert "other code" not in said and cfg(project) == "3.5" and (project / "later.txt").is_file()


def test_get_of_an_experiment_whose_clone_had_no_remote_keeps_the_remote(project: Path) -> None:
    """The commit's own .dvc/config names none."""
    old = project.parent / "old"
    git(project.parent, "clone", "--quiet", str(project), "old")
    identify(old)
    git(old, "config", "remote.origin.fetch", "+refs/*:refs/*")
    (old / ".dvc/config").write_text("[core]\n    analytics = false\n")
    commit(old, "no remote")
    git(old, "push", "--quiet", "origin", f"HEAD:refs/exps/{'0' * 2}/{'1' * 38}/bare")
    before = (project / ".dvc/config").read_bytes()
    redifine(project, "get", "--exp", "bare")
    assert (project / ".dvc/config").read_bytes() == before
