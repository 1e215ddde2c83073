"""A fork server: imports what stages need once, which takes longer than many a stage, and forks for `python -m pipeline ...`.

A client hands over its arguments, folder, environment and file descriptors, and waits for the exit status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import INTERRUPTED
from pipeline.process import die_with_parent

SOCKET = "REDIFINE_WARM"
"""Environment variable that names the server's socket."""

_STAGES = ("prepare", "curate", "train", "sample", "measure", "analyse", "report")
_MODULES = ("compat", *(f"{stage}.stage" for stage in _STAGES), "train.builtin", "cli")
_HERE = str(Path(__file__).resolve().parent)
_POLL_SECONDS = 0.02
_GRACE_SECONDS = 10.0
_PLACES = Path(".dvc/tmp")
"""Where the servers of `begun` listen: from the project's root, because a socket's path must be short."""


def run_warm(arguments: list[str]) -> int | None:
    """Exit status of `python -m pipeline ARGUMENTS` run by the server that SOCKET names; None: run it here."""
    if not os.environ.get(SOCKET):
        return None
    if "DVC_STAGE" in os.environ:
        die_with_parent()
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ), "package": _HERE}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(os.environ[SOCKET])
            socket.send_fds(connection, [b" "], [0, 1, 2])
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = connection.makefile("r")
            word, _, fork = answer.readline().strip().partition(" ")
            if word != "started":
                return None
        except OSError:
            return None
        except KeyboardInterrupt:  # what the server has begun ends with this connection
            return INTERRUPTED
        try:
            status = answer.readline()
        except KeyboardInterrupt:  # the fork, in a group of its own, has not heard of it
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # another one must not end this wait in a traceback
            with suppress(ProcessLookupError):
                os.killpg(int(fork), signal.SIGINT)
            connection.settimeout(_GRACE_SECONDS)
            status = str(INTERRUPTED)
            with suppress(OSError):  # too late: the server ends the fork when this connection closes
                status = answer.readline() or status
    if not status:  # the server was ended, and the fork with it: what it had not finished is begun again
        return None
    code = int(status)
    return code if code >= 0 else 128 - code  # as a shell reports a signal


@contextmanager
def begun(folder: Path) -> Iterator[None]:
    """Within it a server runs for the stages that DVC runs in `folder`, and the environment names it.

    It ends with this process, whatever ends that; so it is for Linux only. Where there is a GPU imports are the least, and
    none is started.
    """
    import subprocess

    from pipeline.process import tied
    from pipeline.sweep.machine import gpus

    if sys.platform != "linux" or os.environ.get(SOCKET) or not (folder / _PLACES).is_dir() or gpus():
        yield
        return
    for left in (folder / _PLACES).glob("redifine-warm-*"):
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            left.unlink(missing_ok=True)
    place = _PLACES / f"redifine-warm-{os.getpid()}"  # of its own: another run in this clone ends with its server
    path = (folder / place).absolute()
    path.unlink(missing_ok=True)
    silent = subprocess.DEVNULL
    with _listening(str(folder / place)) as listener:  # from now on, so that the first stage finds it
        number = listener.fileno()
        server = subprocess.Popen(
            tied([sys.executable, "-m", "pipeline.warm", str(number)]), cwd=folder, pass_fds=[number],
            stdin=silent, stdout=silent, stderr=silent, start_new_session=True,
        )  # fmt: skip
    os.environ[SOCKET] = place.as_posix()
    try:
        yield
    finally:
        del os.environ[SOCKET]
        path.unlink(missing_ok=True)
        server.kill()
        server.wait()


def _listening(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)  # clients that come while the server imports wait
    return listener


def serve(place: str) -> dict[str, Any] | None:
    """Answer clients on the socket `place`, a path or an open one's number, for ever; returns, with the request to run, only
    in the forks. None: there is nothing to fork from, and clients run their commands themselves.
    """
    running: dict[int, socket.socket] = {}
    with socket.socket(fileno=int(place)) if place.isdecimal() else _listening(place) as listener:
        for module in _MODULES:
            importlib.import_module(f"pipeline.{module}")
        if _has_touched_a_gpu():
            return None
        gc.freeze()  # else each fork's collector would visit, and so copy, all that was imported
        while True:
            ready = select.select([listener, *running.values()], [], [], _POLL_SECONDS if running else None)[0]
            if listener in ready and (request := _accept(listener, running)) is not None:
                return request
            for pid, connection in list(running.items()):
                _watch(pid, connection, connection in ready, running)


def _has_touched_a_gpu() -> bool:
    """Whether what was imported has initialised CUDA: that does not survive a fork. xformers and bitsandbytes do."""
    import torch

    return torch.cuda.is_initialized()


def _accept(listener: socket.socket, running: dict[int, socket.socket]) -> dict[str, Any] | None:
    """Fork for the next client: its request in the fork, None in the server."""
    connection = listener.accept()[0]
    descriptors: list[int] = []
    try:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
        request = json.loads(connection.makefile().readline()) | {"descriptors": descriptors}
        pid = os.fork() if request["package"] == _HERE else -1
    except (OSError, ValueError):
        pid = -1
    if pid == 0:
        os.setpgid(0, 0)
        for other in (connection, *running.values()):
            other.close()
        return request
    for descriptor in descriptors:
        os.close(descriptor)
    if pid > 0:
        with suppress(OSError):
            os.setpgid(pid, pid)  # whichever of the two comes first
        running[pid] = connection
    with suppress(OSError):
        connection.sendall(f"started {pid}\n".encode() if pid > 0 else b"no\n")
    if pid <= 0:
        connection.close()
    return None


def _watch(pid: int, connection: socket.socket, client_ended: bool, running: dict[int, socket.socket]) -> None:
    """Report a fork that has ended; end one whose client has gone."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        with suppress(OSError), connection:
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        del running[pid]
    elif client_ended:
        os.killpg(pid, signal.SIGKILL)


def main() -> None:
    die_with_parent()
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # so that importing leaves CUDA alone: it does not survive a fork
    server = os.getpid()
    try:
        if (request := serve(sys.argv[1])) is not None:
            _become(request)
            _run_and_exit()
    except KeyboardInterrupt:
        if os.getpid() == server:
            raise
        os._exit(INTERRUPTED)  # a fork that had not begun yet


def _become(request: dict[str, Any]) -> None:
    """Take the client's place: its folder, environment, descriptors and arguments."""
    die_with_parent()  # the fork's parent is the server
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for target, descriptor in enumerate(request["descriptors"]):
        os.dup2(descriptor, target)
        os.close(descriptor)
    sys.argv = [str(Path(_HERE, "__main__.py")), *request["arguments"]]


def _run_and_exit() -> NoReturn:
    """Run the command line and end at once: to take down what the server has imported would cost more than many a stage."""
    code: Any = 1
    try:
        importlib.import_module("pipeline.cli").main()
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:  # before the command line heeds it
        code = INTERRUPTED
    except BaseException:  # whatever it is, a process of its own would print it and end with 1
        traceback.print_exc()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
