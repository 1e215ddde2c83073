"""share, get and ls: what travels, what does not, and what is said when something is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.provenance.share.iterations import read_record
from pipeline.run.repro import check_fetched
from pipeline.studies.sweep import worktree
from provenance.share.share_project import clone, commit, dvc, git, ran, redifine, set_iterations, tree


@pytest.fixture(scope="module")
def chain_with_experiment(finished_chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished project and a chain at another guidance scale, saved as a sweep does, with Git alone; read only."""
    world = tmp_path_factory.mktemp("experiment") / "world"
    shutil.copytree(finished_chain.parent, world)
    project = world / finished_chain.name
    set_iterations(project, 3, cfg=2.5)
    dvc(project, "repro")
    worktree.save(project, git(project, "rev-parse", "HEAD"), "cfg2.5")
    git(project, "checkout", "--quiet", "--", ".")
    return project


@pytest.fixture
def both(chain_with_experiment: Path, tmp_path: Path) -> Path:
    """A copy of the project with its experiment, to change at will."""
    shutil.copytree(chain_with_experiment.parent, tmp_path / "both")
    return tmp_path / "both" / chain_with_experiment.name


def objects(store: Path) -> dict[str, int]:
    """Every file of a folder remote, with the inode that a second upload would change."""
    return {path.relative_to(store).as_posix(): path.stat().st_ino for path in store.rglob("*") if path.is_file()}


def test_an_experiment_made_by_a_sweep_travels_and_then_nothing_runs(both: Path) -> None:
    redifine(both, "share", "--exp", "cfg2.5")
    b = clone(both, "b")
    assert "cfg2.5" in dvc(b, "exp", "list", "--all-commits", "origin")
    redifine(b, "get", "--exp", "cfg2.5")
    assert "cfg: 2.5" in (b / "params.yaml").read_text()
    dvc(b, "repro")
    assert ran(b) == []
    # Once more changes nothing, though params.yaml now differs from the commit.
    assert "everything is here" in redifine(b, "get", "--exp", "cfg2.5")
    # DVC's own command takes the same reference.
    c = clone(both, "c")
    assert "cfg2.5" in dvc(c, "exp", "pull", "--no-cache", "origin", "cfg2.5")


def test_one_iteration_of_an_experiment_brings_no_other(both: Path) -> None:
    redifine(both, "share", "2", "--exp", "cfg2.5")
    b = clone(both, "b")
    redifine(b, "get", "2", "--exp", "cfg2.5")
    assert [path.name for path in (b / "data").glob("D_*")] == ["D_2"]
    assert sorted(path.name for path in (b / "models").glob("M_*")) == ["M_0", "M_2"]
    assert json.loads((b / "metrics/2.json").read_text())["fid"] == 8.5 + 2 * 2.5
    # What is here of another chain gives way when an experiment comes.
    with pytest.raises(UserError, match="iteration 9 is not in the experiment cfg2.5, which has 0 to 3"):
        redifine(b, "get", "9", "--exp", "cfg2.5")


def test_share_2_sends_iterations_0_to_2_and_ls_says_so(project: Path) -> None:
    redifine(project, "share", "2")
    rows = json.loads(redifine(project, "ls", "--json"))
    assert [(row["experiment"], row["k"], row["complete"]) for row in rows] == [("main", k, True) for k in (0, 1, 2)]
    assert [row["fid"] for row in rows] == [1.0 + 7.5, 1.0 + 2 * 7.5, 1.0 + 3 * 7.5]
    assert [row["cfg"] for row in rows] == [None, 7.5, 7.5]
    folders = [project / f"data/D_{row['k']}" for row in rows]
    assert all(row["bytes"] > sum(map(len, tree(folder).values())) for row, folder in zip(rows, folders, strict=True))
    assert "8.50" in redifine(project, "ls")
    with pytest.raises(UserError, match="lacks files .* run this again"):
        redifine(clone(project, "b"), "get", "3")


def test_a_push_that_broke_off_goes_on_where_it_was(project: Path) -> None:
    redifine(project, "share")
    store = project.parent / "store"
    whole = objects(store)
    # What a broken push leaves: a folder's list goes last, so it and one of the folder's files are not there.
    digest = read_record(project).outputs["data/D_2"].md5
    manifest = (project / "data/D_2/manifest.jsonl").read_bytes()
    gone = [
        store / "files/md5" / digest[:2] / digest[2:],
        next(store / name for name in whole if (store / name).read_bytes() == manifest),
    ]
    for path in gone:
        path.unlink()
    rows = json.loads(redifine(project, "ls", "--json"))
    assert [row["complete"] for row in rows] == [True, True, False, True]
    assert redifine(project, "share").startswith("2 file(s) sent")
    now = objects(store)
    assert now.keys() == whole.keys()
    assert {name for name in now if now[name] != whole[name]} <= {path.relative_to(store).as_posix() for path in gone}


def test_a_pull_that_broke_off_goes_on_where_it_was(project: Path) -> None:
    redifine(project, "share")
    store = project.parent / "store"
    manifest = (project / "data/D_2/manifest.jsonl").read_bytes()
    gone = next(path for path in store.rglob("*") if path.is_file() and path.read_bytes() == manifest)
    kept = gone.read_bytes()
    gone.unlink()
    b = clone(project, "b")
    with pytest.raises(UserError, match="lacks files"):
        redifine(b, "get", "2")
    before = {path: path.stat().st_ino for path in (b / ".dvc/cache").rglob("*") if path.is_file()}
    assert before
    gone.write_bytes(kept)
    redifine(b, "get", "2")
    assert {path: path.stat().st_ino for path in before} == before
    assert tree(b / "data/D_2") == tree(project / "data/D_2")


def test_what_was_made_elsewhere_is_not_made_again_without_a_word(project: Path) -> None:
    redifine(project, "share")
    b = clone(project, "b")
    redifine(b, "get", "3")
    with pytest.raises(UserError, match=r"k = 0, 1, 2 were made and are not here; 'redifine repro --pull --allow-missing"):
        check_fetched(b, last=3)
    check_fetched(project, last=3)
    with pytest.raises(UserError, match=r"k = 0 were made"):
        check_fetched(b, last=0)
    dvc(b, "pull", "--allow-missing")
    check_fetched(b, last=3)
    shutil.rmtree(b / "data/D_2")
    check_fetched(b, last=3)  # DVC has it in its cache


def test_a_file_that_is_nowhere_else_is_named_and_kept(project: Path) -> None:
    redifine(project, "share", "1")
    b = clone(project, "b")
    edited = b / "data/T_1.jsonl"
    edited.parent.mkdir()
    edited.write_text("mine\n")
    with pytest.raises(
        UserError, match=r"^\S*/b/data/T_1\.jsonl is in no cache and would be lost; move it away, or give --force"
    ):
        redifine(b, "get", "1")
    assert edited.read_text() == "mine\n"
    redifine(b, "get", "1", "--force")
    assert edited.read_bytes() == (project / "data/T_1.jsonl").read_bytes()


def test_an_experiment_does_not_overwrite_what_was_edited_here(both: Path) -> None:
    params = both / "params.yaml"
    params.write_text(params.read_text().replace("cfg: 7.5", "cfg: 3.0"))
    redifine(both, "share", "--exp", "cfg2.5")
    with pytest.raises(UserError, match="params.yaml differs from the last commit"):
        redifine(both, "get", "--exp", "cfg2.5")
    assert "cfg: 3.0" in params.read_text()
    redifine(both, "get", "--exp", "cfg2.5", "--force")
    assert "cfg: 2.5" in params.read_text()


def test_another_experiment_of_that_name_is_not_replaced_unasked(both: Path) -> None:
    redifine(both, "share", "1", "--exp", "cfg2.5")
    b = clone(both, "b")
    redifine(b, "get", "1", "--exp", "cfg2.5")
    (b / "params.yaml").write_text((b / "params.yaml").read_text() + "\n")
    worktree.save(b, git(b, "rev-parse", "HEAD"), "cfg2.5")
    with pytest.raises(UserError, match="origin has another experiment 'cfg2.5'; give --force"):
        redifine(b, "share", "1", "--exp", "cfg2.5")
    with pytest.raises(UserError, match="another experiment here than on origin"):
        redifine(b, "get", "1", "--exp", "cfg2.5")
    redifine(b, "share", "1", "--exp", "cfg2.5", "--force")
    assert git(b, "for-each-ref", "--format=%(objectname)", "refs/exps") in git(b, "ls-remote", "origin", "refs/exps/*")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("share", "9"), "iteration 9 is not in dvc.lock, which has 0 to 3; 'git pull' brings what others recorded"),
        (("share", "--exp", "none"), "there is no experiment 'none' here; see 'dvc exp list"),
        (("get", "--exp", "none"), "there is no experiment 'none' here; see 'dvc exp list"),
        (("get", "--exp", "a b"), "'a b' cannot be an experiment's name"),
        (("get",), "say what to get"),
        (("ls", "elsewhere"), "there is no DVC remote 'elsewhere' \\(known: shared\\)"),
        (("get", "2", "--remote", "elsewhere"), "there is no DVC remote 'elsewhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not_exist_is_said(finished_chain: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        redifine(finished_chain, *words)


def test_a_remote_that_is_not_set_read_only_or_gone_is_said(project: Path) -> None:
    redifine(project, "remote", str(project.parent / "gone/store"))
    with pytest.raises(UserError, match="cannot be reached: there is no folder"):
        redifine(project, "share")
    redifine(project, "remote", "https://example.org/store")
    with pytest.raises(UserError, match="is read only"):
        redifine(project, "share")
    (project / ".dvc/config").write_text("")
    with pytest.raises(UserError, match="no DVC remote is set, .* run 'make remote URL=...'"):
        redifine(project, "share")


def test_a_project_that_never_ran_has_nothing_to_share(project: Path) -> None:
    (project / "dvc.lock").unlink()
    with pytest.raises(UserError, match="nothing has run here yet; run 'dvc repro'"):
        redifine(project, "share")
    (project / "dvc.lock").write_text("stages: {}\n")
    with pytest.raises(UserError, match="nothing to share"):
        redifine(project, "share")
    (project / "dvc.lock").write_text("stages: [")
    with pytest.raises(UserError, match="cannot be read as a dvc.lock"):
        redifine(project, "share")


def test_share_says_what_others_cannot_see_yet(project: Path) -> None:
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "\n")
    assert "not committed" in redifine(project, "share")
    commit(project, "edit")
    assert "after 'git push'" in redifine(project, "share")
    git(project, "push", "--quiet")
    assert redifine(project, "share") == "everything is there already\n"


@pytest.mark.parametrize("how", ["absolute", "relative", "of a remote"])
def test_a_folder_is_listed_by_its_path_and_no_config_learns_of_it(project: Path, how: str) -> None:
    redifine(project, "share", "1")
    rows = redifine(project, "ls", "--json")
    if how != "of a remote":
        (project / ".dvc/config").write_text("")
    configs = [path.read_text() for path in sorted((project / ".dvc").glob("config*"))]
    path = "../store" if how == "relative" else str(project.parent / "store")
    assert json.loads(rows) and redifine(project, "ls", path, "--json") == rows
    assert [path.read_text() for path in sorted((project / ".dvc").glob("config*"))] == configs


@pytest.mark.parametrize(
    ("given", "sentence"),
    [("./nowhere", "there is no folder ./nowhere; give the name of a DVC remote"), ("hdfs://a/b", "not supported \\(hdfs\\)")],
)
def test_an_address_that_cannot_be_listed_is_said(project: Path, given: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        redifine(project, "ls", given)


def test_an_iteration_is_complete_when_every_output_that_it_recorded_is_there(project: Path) -> None:
    redifine(project, "share")
    assert all(row["complete"] for row in json.loads(redifine(project, "ls", "--json")))

    def without(path: str) -> list[bool]:
        md5 = read_record(project).outputs[path].md5
        (project.parent / "store/files/md5" / md5[:2] / md5[2:]).unlink()
        return [row["complete"] for row in json.loads(redifine(project, "ls", "--json"))]

    assert without("analysis/2.json") == [True, True, False, True]
    assert without("analysis/0.safetensors") == [False, True, False, True]
    # Without the prompts no iteration can be fetched whole.
    assert without("data/prompts.jsonl") == [False, False, False, False]


def test_an_iteration_that_params_yaml_has_already_is_not_to_be_added(project: Path) -> None:
    redifine(project, "share")
    told = "run: redifine repro --pull --allow-missing measure analyse"
    assert f"add iteration 4 to params.yaml and {told}" in redifine(project, "get", "2")
    set_iterations(project, 5)
    assert f"to go on from here, {told}" in redifine(project, "get", "2")
