"""What runs a chain's processes: a worktree, cores of its own, and a fork server that spares each stage its imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core import machine
from pipeline.run import fork_client
from pipeline.studies.sweep import pinned_process

_GRACE_SECONDS = 10.0


@dataclass
class Worker:
    """Runs one process at a time in `folder`, on `cores` and `gpus` (none: any), with the fork server of that module, if any;
    one that `ignores_signals` ends by SIGKILL alone.
    """

    folder: Path
    cores: list[int]
    threads: int
    server: str = ""
    ignores_signals: bool = False
    gpus: str = ""
    stopped: bool = False
    _current: subprocess.Popen[bytes] | None = None
    _server: subprocess.Popen[bytes] | None = None
    _sockets: tempfile.TemporaryDirectory[str] = field(default_factory=lambda: tempfile.TemporaryDirectory(prefix="redifine-"))

    @property
    def _socket(self) -> Path:
        return Path(self._sockets.name) / "warm"

    def environment(self) -> dict[str, str]:
        """Return the variables: this `python` first, the share of threads and GPUs, and where the fork server listens."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        own = {
            "PATH": path,
            "OMP_NUM_THREADS": str(self.threads),
            "DVC_NO_ANALYTICS": "1",
            fork_client.SOCKET: str(self._socket),
        }
        own |= {machine.VISIBLE: self.gpus} if self.gpus else {}
        return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | own

    def run(self, log: Path, module: str, *arguments: str, folder: Path | None = None) -> bool:
        """Run a module to its end, in `folder` (else the worktree), with its output in `log`; return whether it succeeded.

        The code is the worktree's in either case.
        """
        self._current = self._start(log, folder, module, *arguments)
        if self.stopped:
            self.stop()
        try:
            return self._current.wait() == 0
        finally:
            self._current = None

    def _start(self, log: Path, folder: Path | None, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a module in a process group of its own, with its output at the end of `log`."""
        environment = self.environment()
        if folder is not None:
            search = os.pathsep.join(filter(None, (str(self.folder), environment.get("PYTHONPATH"))))
            environment |= {"PYTHONSAFEPATH": "1", "PYTHONPATH": search}
        command = pinned_process.command(self.cores, self.ignores_signals, module, *arguments)
        with log.open("ab") as output:
            return subprocess.Popen(
                command, cwd=folder or self.folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def start_fork_server(self, log: Path) -> None:
        """Start the fork server where none runs; without one, as where there is a GPU, stages import for themselves."""
        if not self.server or machine.gpus() or not (self.folder / f"{self.server.replace('.', '/')}.py").is_file():
            return
        if self._server is None or self._server.poll() is not None:
            self._socket.unlink(missing_ok=True)
            self._server = self._start(log, None, self.server, str(self._socket))

    def stop(self) -> None:
        """End what runs, and all that will be started: asked first, then killed."""
        self.stopped = True
        if (process := self._current) is None:
            return
        if not self.ignores_signals:
            _signal(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        _signal(process, signal.SIGKILL)

    def close(self) -> None:
        """End the fork server."""
        if self._server is not None:
            _signal(self._server, signal.SIGKILL)
            self._server.wait()
        self._sockets.cleanup()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
