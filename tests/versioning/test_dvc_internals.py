"""What we use of DVC that is no promise of DVC's: each is as it was when the code that uses it was written."""

from __future__ import annotations

import fcntl
import inspect
import json
import os
import sys
from pathlib import Path

import pytest

from pipeline.core.files import cache_path
from pipeline.provenance.lineage.runs import _NO_RUNS
from pipeline.provenance.share.transfer import _UNSAVED
from pipeline.run.repro import _UNFINISHED
from pipeline.run.status.killed_experiment import _STARTED_WITH
from pipeline.versioning import dvc_command
from pipeline.versioning.hashes import FOLDER_SUFFIX, cache_folder, folder_md5

linux = pytest.mark.skipif(sys.platform != "linux", reason="the request of Linux file systems")


@linux
def test_dvc_still_makes_reflinks_at_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, `dvc_patches._patch_reflink` can go."""
    from dvc_objects.fs import system

    reflink = inspect.unwrap(system.reflink)
    if reflink.__module__ != system.__name__:  # another test has run a command in this process
        reflink = inspect.getclosurevars(reflink).nonlocals["in_place"]
    (tmp_path / "object").write_bytes(b"all of it")
    seen: list[bool] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda target, *_: seen.append((tmp_path / "place").exists()) or os.write(target, b"x"))
    reflink(str(tmp_path / "object"), str(tmp_path / "place"))
    assert seen == [True]


def test_dvcs_file_system_asks_the_function_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc_objects.fs import system
    from dvc_objects.fs.local import LocalFileSystem

    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(system, "reflink", lambda source, place: asked.append((source, place)))
    LocalFileSystem().fs.reflink("a", "b")
    assert asked == [("a", "b")]


def test_unfinished_files_have_the_names_that_are_removed() -> None:
    from dvc_objects.fs.utils import tmp_fname

    assert _UNFINISHED.search(f"00001.png{tmp_fname()}") and _UNFINISHED.search(tmp_fname())


def test_a_failed_stage_says_its_name_and_its_exit_status() -> None:
    from dvc.repo import reproduce
    from dvc.stage.exceptions import StageCmdFailedError

    found = dvc_command._STAGE_STATUS.search(str(StageCmdFailedError("python -m pipeline train", 2)))
    assert found is not None and found[1] == "2"
    assert "failed to reproduce" in inspect.getsource(reproduce)


def test_dvcs_status_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    import dvc.cli

    def interrupt(arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dvc.cli, "parse_args", interrupt)
    assert dvc.cli.main(["version"]) == dvc_command._DVC_INTERRUPTED


def test_what_dvc_says_before_it_would_lose_a_file() -> None:
    from dvc.repo import checkout

    assert "Can't remove the following unsaved files" in inspect.getsource(checkout)
    assert _UNSAVED.match("Can't remove the following unsaved files without confirmation.\ndata/D_1")


def test_dvcs_own_references_are_no_runs() -> None:
    from dvc.repo.experiments import refs

    own = {refs.WORKSPACE_STASH, *(f"{space}/*" for space in refs.ITER_SKIP_NAMESPACES)}
    assert own <= {*_NO_RUNS}
    assert refs.EXEC_MERGE == _STARTED_WITH
    assert str(refs.ExpRefInfo("ab" * 20, "try")) == f"refs/exps/ab/{'ab' * 19}/try"


def test_content_lies_where_dvc_puts_it(tmp_path: Path) -> None:
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree

    with Repo.init(str(tmp_path), no_scm=True) as repo:
        cache, md5 = cache_folder(tmp_path), "0123456789abcdef" * 2
        assert cache is not None and str(cache_path(cache, md5)) == repo.cache.local.oid_to_path(md5)
    tree, files = Tree(), {"b/c.png": "1" * 32, "a.png": "2" * 32}
    for path, file_md5 in files.items():
        tree.add(tuple(path.split("/")), Meta(), HashInfo("md5", file_md5))
    tree.digest()
    assert tree.hash_info.value == folder_md5(files) and folder_md5(files).endswith(FOLDER_SUFFIX)


def test_links_are_tried_as_the_doctor_asks(tmp_path: Path) -> None:
    from dvc.fs import LocalFileSystem, generic

    files = LocalFileSystem()
    kinds = ["hardlink", "symlink"]
    assert generic.test_links(kinds, files, str(tmp_path), files, str(tmp_path / "project")) == kinds
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_objects_are_sent_by_hash_and_a_folders_list_last() -> None:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.transfer import TransferResult, transfer

    assert HashInfo("md5", "0" * 32).value == "0" * 32
    assert {"cache_odb", "shallow", "callback"} <= {*inspect.signature(transfer).parameters}
    assert [*inspect.signature(transfer).parameters][:3] == ["src", "dest", "obj_ids"]
    assert TransferResult._fields == ("transferred", "failed")


def test_a_ctrl_c_in_a_destructor_of_dvcs_libraries_prints_no_traceback() -> None:
    class Store:
        def __del__(self) -> None:
            found.append(dvc_command._in_destructor(inspect.currentframe()))

    found: list[bool] = []
    Store()
    assert found == [True] and not dvc_command._in_destructor(inspect.currentframe())


def test_where_dvc_lets_its_lock_go_for_a_stage_is_replaced() -> None:
    """`dvc_stage_runs` wraps what `run_stage` looks up when it runs, and stands between the second reading and the record."""
    from dvc.stage import Stage
    from dvc.stage import run as stage_run

    assert "unlocked_repo(cmd_run)" in inspect.getsource(stage_run.run_stage)
    assert "run(stage, dry=dry, run_env=run_env)" in inspect.getsource(stage_run.run_stage)
    saving = inspect.getsource(Stage.save)
    places = [saving.index(word) for word in ("self.save_deps", "self.save_outs", "stage_cache.save")]
    assert places == sorted(places)


def test_dvc_takes_its_locks_by_the_method_that_waits() -> None:
    import dvc.lock
    from dvc.repo import Repo

    assert "_do_lock" in vars(dvc.lock.Lock) and issubclass(dvc.lock.LockError, Exception)
    assert "self.lock()" in inspect.getsource(dvc.lock.Lock.__enter__)
    assert "make_lock(" in inspect.getsource(Repo.__init__)


def test_dvcs_list_of_running_processes_names_those_that_write(tmp_path: Path) -> None:
    import os as system

    from dvc.fs import localfs
    from dvc.rwlock import rwlock

    from pipeline.versioning import run_at_work

    (tmp_path / run_at_work._TMP).mkdir(parents=True)
    with rwlock(str(tmp_path / run_at_work._TMP), localfs, "a command", [], [str(tmp_path / "data/D_1")], False):
        entries = json.loads((tmp_path / run_at_work._RWLOCK).read_text())["write"]
        assert [entry["pid"] for entry in entries.values()] == [system.getpid()]


def test_an_experiment_is_put_into_the_queue_by_the_method_that_is_replaced() -> None:
    from dvc.repo.experiments.queue.base import BaseStashQueue, QueueEntry
    from dvc.repo.experiments.queue.celery import LocalCeleryQueue
    from dvc.repo.experiments.stash import ExpStash

    from pipeline.versioning.queue_entry import stash_experiment

    ours, theirs = inspect.signature(stash_experiment), inspect.signature(BaseStashQueue._stash_exp)
    named = {name for name, parameter in theirs.parameters.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
    assert named <= {*ours.parameters}
    assert "self._stash_exp(*args, **kwargs)" in inspect.getsource(LocalCeleryQueue.put)
    fields = ["dvc_root", "scm_root", "stash_ref", "stash_rev", "baseline_rev", "branch", "name", "head_rev"]
    assert [*inspect.signature(QueueEntry).parameters] == fields
    assert ExpStash.MESSAGE_RE.match(f"commit: {ExpStash.format_message('a' * 40, 'b' * 40, 'try')}")


def test_what_is_read_without_a_lock_is_dvcs_function_below_its_decorator() -> None:
    """`transfer.pull` fetches, and `status` asks a stage, without the lock that these take."""
    from dvc.repo import Repo
    from dvc.stage import Stage

    assert {"targets", "remote"} <= {*inspect.signature(inspect.unwrap(Repo.fetch)).parameters}
    assert "@locked" in inspect.getsource(inspect.unwrap(Repo.fetch))
    assert "@rwlocked(read=" in inspect.getsource(inspect.unwrap(Stage.status))
    assert "rwlock" not in inspect.unwrap(Stage.status).__code__.co_names
