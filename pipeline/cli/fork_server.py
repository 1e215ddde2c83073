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
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from pipeline.core.errors import INTERRUPTED
from pipeline.core.loaded_code import is_as_noted, note_code, note_imported
from pipeline.core.process import die_with_parent
from pipeline.run.fork_client import PACKAGE, listening

MODULE = "pipeline.cli.fork_server"
"""What `fork_client.fork_server` starts."""

_STAGES = ("prepare", "curate", "train", "sample", "measure", "analyse", "report")
_MODULES = ("core.compat", *(f"{stage}.stage" for stage in _STAGES), "train.builtin", "cli.application")
_POLL_SECONDS = 0.02


def serve(place: str) -> dict[str, Any] | None:
    """Answer clients on the socket `place`, a path or an open one's number, for ever; returns, with the request to run, only
    in the forks. None: there is nothing to fork from, and clients run their commands themselves.
    """
    running: dict[int, socket.socket] = {}
    with socket.socket(fileno=int(place)) if place.isdecimal() else listening(place) as listener:
        note_code()
        for module in _MODULES:
            importlib.import_module(f"pipeline.{module}")
        note_imported()
        # CUDA that an import has initialised, as xformers and bitsandbytes do, does not survive a fork.
        if importlib.import_module("torch").cuda.is_initialized():
            return None
        gc.freeze()  # else each fork's collector would visit, and so copy, all that was imported
        while True:
            ready = select.select([listener, *running.values()], [], [], _POLL_SECONDS if running else None)[0]
            if listener in ready and (request := _accept(listener, running)) is not None:
                return request
            for pid, connection in list(running.items()):
                _watch(pid, connection, connection in ready, running)


def _accept(listener: socket.socket, running: dict[int, socket.socket]) -> dict[str, Any] | None:
    """Fork for the next client: its request in the fork, None in the server.

    What is imported here is older than the files once one of them has changed; such a client runs the new code by itself.
    """
    connection = listener.accept()[0]
    descriptors: list[int] = []
    try:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
        request = json.loads(connection.makefile().readline()) | {"descriptors": descriptors}
        pid = os.fork() if request["package"] == PACKAGE and is_as_noted() else -1
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
    sys.argv = [str(Path(PACKAGE, "__main__.py")), *request["arguments"]]
    sys.modules["__main__"].__package__ = Path(PACKAGE).name  # from which click tells how it was called


def _run_and_exit() -> NoReturn:
    """Run the command line and end at once: to take down what the server has imported would cost more than many a stage.

    The exit functions run by a private name of atexit, which can go as soon as there is a public one.
    """
    code: Any = 1
    try:
        importlib.import_module("pipeline.cli.application").main()
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
