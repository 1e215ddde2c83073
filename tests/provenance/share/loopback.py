"""Real servers on the loopback, each a process of its own in a test's folder: S3, Google Cloud Storage, HTTP, SSH."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def listening(words: list[str], port: int, log: Path, **variables: str) -> Iterator[None]:
    """Run a server until the block ends. Skips the test, with its last line, where it does not start."""
    with log.open("w") as output:
        server = subprocess.Popen(words, stdout=output, stderr=output, env=os.environ | variables)
    try:
        if not _answers(server, port):
            pytest.skip(f"{Path(words[0]).name} does not start: {(log.read_text().splitlines() or ['no word'])[-1]}")
        yield
    finally:
        server.kill()
        server.wait()


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + _SECONDS
    while server.poll() is None and time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.1)
    return False


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """moto's S3 server, in memory. Yields its address."""
    pytest.importorskip("moto.server", exc_type=ImportError)
    pytest.importorskip("dvc_s3")
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with listening(words, port, folder / "moto.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def google_cloud(folder: Path, bucket: str) -> Iterator[str]:
    """gcp-storage-emulator, in memory, with one bucket. Yields its address."""
    pytest.importorskip("gcp_storage_emulator")
    pytest.importorskip("dvc_gs")
    port = free_port()
    words = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port),
             "--in-memory", "--default-bucket", bucket]  # fmt: skip
    with listening(words, port, folder / "gcs.log"):
        yield f"http://127.0.0.1:{port}"


_BASIC = """
import base64, functools, http.server, sys
class Asking(http.server.SimpleHTTPRequestHandler):
    def send_head(self):
        wanted = "Basic " + base64.b64encode(sys.argv[3].encode()).decode()
        if sys.argv[3] and self.headers["Authorization"] != wanted:
            return self.send_error(401)
        return super().send_head()
serve = functools.partial(Asking, directory=sys.argv[2])
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), serve).serve_forever()
"""


@contextmanager
def http(folder: Path, log: Path, login: str = "") -> Iterator[str]:
    """Python's web server over a folder; it asks for `login` ("user:password") where one is given. Yields its host and port."""
    port = free_port()
    with listening([sys.executable, "-c", _BASIC, str(port), str(folder), login], port, log):
        yield f"127.0.0.1:{port}"


@contextmanager
def ssh(folder: Path, home: Path) -> Iterator[tuple[str, Path]]:
    """OpenSSH's server with keys, port and settings of its own; `home`/.ssh knows its host key.

    Yields "user@host:port" and the private key that it lets in.
    """
    pytest.importorskip("dvc_ssh")
    if SSHD is None:
        pytest.skip("there is no sshd here; Debian's package openssh-server has it")
    port = free_port()
    key, host_key = _new_key(folder / "user_key"), _new_key(folder / "host_key")
    known = home / ".ssh/known_hosts"
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    settings = {"Port": port, "ListenAddress": "127.0.0.1", "HostKey": host_key, "PidFile": "none",
                "AuthorizedKeysFile": key.with_suffix(".pub"), "PasswordAuthentication": "no", "StrictModes": "no",
                "PermitRootLogin": "prohibit-password", "UsePAM": "no", "Subsystem": "sftp internal-sftp"}  # fmt: skip
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with listening([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], port, folder / "sshd.log"):
        yield f"{getpass.getuser()}@127.0.0.1:{port}", key


def _new_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path
