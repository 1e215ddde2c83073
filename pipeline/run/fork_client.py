"""The client of the fork server: have `python -m pipeline ...` run in a fork of a process that has imported the libraries.

A client hands over its arguments, folder, environment and file descriptors, and waits for the exit status. The server is
`pipeline/cli/fork_server.py`; who starts it names it, for what runs below the command line does not know it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.core.errors import INTERRUPTED
from pipeline.core.process import die_with_parent

SOCKET = "REDIFINE_WARM"
"""Environment variable that names the server's socket."""

PACKAGE = str(Path(__file__).resolve().parents[1])
"""The package whose code runs here: a server of other code is not asked."""

_GRACE_SECONDS = 10.0
_SOCKETS = Path(".dvc/tmp")
"""Where the servers of `fork_server` listen: from the project's root, because a socket's path must be short."""


def run_in_fork(arguments: list[str]) -> int | None:
    """Return the exit status of `python -m pipeline ARGUMENTS` run by the server that SOCKET names; None: run it here."""
    if not os.environ.get(SOCKET):
        return None
    if "DVC_STAGE" in os.environ:
        die_with_parent()
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ), "package": PACKAGE}
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
def fork_server(folder: Path, module: str) -> Iterator[None]:
    """Run a server, the module `module`, for the stages that DVC runs in `folder`; the environment names it.

    It ends with this process, whatever ends that; so it is for Linux only. Where there is a GPU imports are the least, and
    none is started.
    """
    import subprocess

    from pipeline.core.machine import gpus
    from pipeline.core.process import dying_with_parent

    if sys.platform != "linux" or os.environ.get(SOCKET) or not (folder / _SOCKETS).is_dir() or gpus():
        yield
        return
    for left in (folder / _SOCKETS).glob("redifine-warm-*"):
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            left.unlink(missing_ok=True)
    place = _SOCKETS / f"redifine-warm-{os.getpid()}"  # of its own: another run in this clone ends with its server
    path = (folder / place).absolute()
    path.unlink(missing_ok=True)
    silent = subprocess.DEVNULL
    with listening(str(folder / place)) as listener:  # from now on, so that the first stage finds it
        number = listener.fileno()
        server = subprocess.Popen(
            dying_with_parent([sys.executable, "-m", module, str(number)]), cwd=folder, pass_fds=[number],
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


def listening(path: str) -> socket.socket:
    """Return a socket on which a server of this machine listens."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)  # clients that come while the server imports wait
    return listener
