"""A command through the fork server does what it does without, and ends with its client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch

from pipeline.cli import fork_server
from pipeline.run import fork_client
from pipeline.studies.sweep.worker import Worker
from project import ROOT


def hear_ctrl_c() -> None:
    """What a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[psutil.Process, Path]]:
    path = tmp_path_factory.mktemp("warm") / "socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.fork_server", str(path)], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.05)
    yield psutil.Process(process.pid), path
    process.kill()
    process.wait()


def command(arguments: list[str], folder: Path, socket: Path | None, **changes: str) -> subprocess.CompletedProcess[str]:
    """`python -m pipeline ARGUMENTS` with this project's code, in `folder`."""
    environment = (
        {key: value for key, value in os.environ.items() if key != fork_client.SOCKET} | {"PYTHONPATH": str(ROOT)} | changes
    )
    if socket is not None:
        environment[fork_client.SOCKET] = str(socket)
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [["curate", "--k", "1"], ["curate", "--k", "none"], ["curate", "--help"]],
    ids=["one sentence", "usage", "help"],
)
def test_output_and_exit_status_are_those_of_a_process_of_its_own(
    server: tuple[psutil.Process, Path], tmp_path: Path, arguments: list[str]
) -> None:
    alone, forked = command(arguments, tmp_path, None), command(arguments, tmp_path, server[1])
    assert (forked.stdout, forked.stderr, forked.returncode) == (alone.stdout, alone.stderr, alone.returncode)


def test_folder_and_environment_are_the_clients(server: tuple[psutil.Process, Path], tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/mine.yaml").write_text("# from here\n")
    assert "from here" in command(["preset"], tmp_path, server[1]).stdout
    wide, narrow = (command(["--help"], tmp_path, server[1], COLUMNS=columns).stdout for columns in ("200", "40"))
    assert len(narrow.splitlines()) > len(wide.splitlines())


def test_the_server_runs_it(server: tuple[psutil.Process, Path], tmp_path: Path) -> None:
    with BlockedStage(server, tmp_path) as (_, fork):
        assert fork.ppid() == server[0].pid


def test_a_killed_client_leaves_no_orphan(server: tuple[psutil.Process, Path], tmp_path: Path) -> None:
    with BlockedStage(server, tmp_path) as (client, fork):
        client.send_signal(signal.SIGKILL)
        client.wait()
        psutil.wait_procs([fork], timeout=20)
        assert not fork.is_running()
    assert server[0].is_running()


def test_ctrl_c_ends_the_fork_as_it_ends_a_process_of_its_own(server: tuple[psutil.Process, Path], tmp_path: Path) -> None:
    with BlockedStage(server, tmp_path) as (client, fork):
        for _ in range(30):  # until it waits, and as a user who sees nothing happen
            client.send_signal(signal.SIGINT)
            time.sleep(1.0)
            if client.poll() is not None:
                break
        assert client.returncode == 130
        psutil.wait_procs([fork], timeout=20)
        assert not fork.is_running()
    assert server[0].is_running()


def test_nothing_is_forked_from_what_has_initialised_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As importing xformers or bitsandbytes does where there is a GPU."""
    monkeypatch.setattr(fork_server, "_MODULES", ())
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    path = tmp_path / "socket"
    assert fork_server.serve(str(path)) is None
    alone, refused = command(["curate", "--help"], tmp_path, None), command(["curate", "--help"], tmp_path, path)
    assert (refused.stdout, refused.returncode) == (alone.stdout, 0)


@pytest.mark.parametrize(("visible", "servers"), [("", 1), ("0", 0)])
def test_a_sweep_starts_a_fork_server_where_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, servers: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    before = set(psutil.Process().children())
    worker = Worker(ROOT, [], 1, fork_server.MODULE)
    worker.start_fork_server(tmp_path / "log")
    try:
        assert len(set(psutil.Process().children()) - before) == servers
    finally:
        worker.close()


EARLY = """
from pipeline.cli import fork_server
def interrupted(request):
    raise KeyboardInterrupt
fork_server._MODULES, fork_server._become = (), interrupted
fork_server.main()
"""


def test_ctrl_c_before_a_fork_has_begun_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    process = subprocess.Popen([sys.executable, "-c", EARLY, str(path)], cwd=ROOT)
    try:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.05)
        stopped = command(["curate", "--help"], tmp_path, path)
        assert (stopped.stdout, stopped.stderr, stopped.returncode) == ("", "", 130)
        assert process.poll() is None, "the server serves on"
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_twice_is_as_once(server: tuple[psutil.Process, Path], tmp_path: Path) -> None:
    with BlockedStage(server, tmp_path) as (client, fork):
        time.sleep(3.0)  # until it waits for the fork
        fork.suspend()
        for _ in range(3):
            client.send_signal(signal.SIGINT)
            time.sleep(0.3)
        fork.resume()
        assert client.wait(60) == 130
        psutil.wait_procs([fork], timeout=20)
        assert not fork.is_running()


BEGIN = """
import subprocess, sys
from pathlib import Path
from pipeline.cli import fork_server
from pipeline.run import fork_client
with fork_client.fork_server(Path(), fork_server.MODULE):
    subprocess.run([sys.executable, "-m", "pipeline", "curate", "--k", "1"])
"""


only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="ending with another process is a request that only Linux knows"
)


class StageUnderServer:
    """A stage that waits for ever, its params.yaml being a pipe without a writer, below a program that has begun a server."""

    def __init__(self, folder: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if key != fork_client.SOCKET}
        environment |= {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "DVC_STAGE": "curate"}
        self.starter = subprocess.Popen([sys.executable, "-c", BEGIN], cwd=folder, env=environment, stderr=subprocess.PIPE)
        self.process = psutil.Process(self.starter.pid)
        while not (forks := [child for child in self.process.children(recursive=True) if _is_a_fork(child)]):
            assert self.starter.poll() is None
            time.sleep(0.05)
        self.fork, self.server = forks[0], forks[0].parent()

    def __enter__(self) -> StageUnderServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.starter.kill()
        self.starter.wait()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    os.mkfifo(tmp_path / "params.yaml")
    return tmp_path


@only_linux
def test_a_server_ends_with_its_starter_when_that_is_killed(place: Path) -> None:
    with StageUnderServer(place) as run:
        assert run.server is not None and run.server.parent() == run.process
        family = run.process.children(recursive=True)
    assert psutil.wait_procs(family, timeout=20)[1] == []


@only_linux
def test_nothing_is_left_of_a_server_that_is_no_longer_needed(place: Path) -> None:
    with StageUnderServer(place) as run:
        assert list((place / ".dvc/tmp").iterdir()) != []
        family = run.process.children(recursive=True)
        with (place / "params.yaml").open("w") as pipe:
            pipe.write("cfg: high\n")
        assert b"cfg must be a number, got 'high'" in run.starter.communicate()[1]
        assert run.starter.returncode == 0 and list((place / ".dvc/tmp").iterdir()) == []
        assert psutil.wait_procs(family, timeout=5)[1] == []


@pytest.mark.slow
@only_linux
def test_two_runs_in_one_clone_have_a_server_each(place: Path) -> None:
    with StageUnderServer(place) as first:
        with StageUnderServer(place) as second:
            family = second.process.children(recursive=True)
        assert psutil.wait_procs(family, timeout=20)[1] == []
        assert first.fork.is_running() and first.server is not None and first.server.is_running()


@only_linux
def test_a_stage_whose_server_is_killed_begins_again_by_itself(place: Path) -> None:
    with StageUnderServer(place) as run:
        assert run.server is not None
        run.server.kill()
        assert psutil.wait_procs([run.fork], timeout=20)[1] == []
        (place / "params.yaml").write_text("cfg: high\n")
        assert b"cfg must be a number, got 'high'" in run.starter.communicate()[1]


def _is_a_fork(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        parent = process.parent()
        return parent is not None and "pipeline.cli.fork_server" in parent.cmdline() and parent.cmdline() == process.cmdline()
    return False


class BlockedStage:
    """A command that waits for ever, because its params.yaml is a pipe without a writer: client and fork."""

    def __init__(self, server: tuple[psutil.Process, Path], folder: Path) -> None:
        self.server, self.folder = server, folder

    def __enter__(self) -> tuple[subprocess.Popen[bytes], psutil.Process]:
        os.mkfifo(self.folder / "params.yaml")
        environment = os.environ | {"PYTHONPATH": str(ROOT), fork_client.SOCKET: str(self.server[1])}
        self.client = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "curate", "--k", "1"], cwd=self.folder, env=environment, preexec_fn=hear_ctrl_c
        )
        for _ in range(400):
            forks = [child for child in self.server[0].children() if child.status() != psutil.STATUS_ZOMBIE]
            if forks:
                return self.client, forks[0]
            time.sleep(0.05)
        raise TimeoutError("the server made no fork")

    def __exit__(self, *_: object) -> None:
        self.client.kill()
        self.client.wait()


@pytest.mark.parametrize("socket", ["missing", "text"])
def test_without_a_server_it_runs_here(tmp_path: Path, socket: str) -> None:
    (tmp_path / "text").write_text("no socket")
    done = command(["curate", "--help"], tmp_path, tmp_path / socket)
    assert done.returncode == 0 and "Usage: python -m pipeline curate" in done.stdout


def test_a_copy_of_the_code_elsewhere_runs_its_own(server: tuple[psutil.Process, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    cli = tmp_path / "pipeline/cli/application.py"
    cli.write_text(cli.read_text().replace("The whole chain runs by", "Another code"))
    assert "Another code" in command(["--help"], tmp_path, server[1], PYTHONPATH=str(tmp_path)).stdout


def test_once_a_file_of_the_code_has_changed_the_new_code_runs(tmp_path: Path) -> None:
    import shutil

    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("pipeline", "extensions"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    socket = tmp_path / "socket"
    path = {"PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.fork_server", str(socket)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | path,
    )
    try:
        while not socket.exists():
            assert process.poll() is None
            time.sleep(0.05)
        asked = "import sys; from pipeline.run.fork_client import run_in_fork; sys.exit(run_in_fork(['--help']) is None)"

        def forks() -> bool:
            environment = os.environ | path | {fork_client.SOCKET: str(socket)}
            done = subprocess.run(
                [sys.executable, "-c", asked], cwd=tmp_path, env=environment, capture_output=True, check=False
            )
            return done.returncode == 0

        assert forks()
        for changed in ("pipeline/cli/application.py", "pipeline/report/page.css", "extensions/schedules/mine.py"):
            before = (tmp_path / changed).read_text() if (tmp_path / changed).exists() else None
            (tmp_path / changed).write_text((before or "").replace("The whole chain runs by", "Another code") + "\n")
            assert not forks(), changed
            if changed.endswith("application.py"):
                assert "Another code" in command(["--help"], tmp_path, socket, **path).stdout
            if before is None:
                (tmp_path / changed).unlink()
            else:
                (tmp_path / changed).write_text(before)
            assert forks(), changed
    finally:
        process.kill()
        process.wait()
