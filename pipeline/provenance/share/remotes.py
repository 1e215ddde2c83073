"""Set up a DVC remote from its address: the right library, the address in .dvc/config, secrets in .dvc/config.local alone."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from dvc.config import ConfigError
from dvc.repo import Repo

from pipeline.core.errors import UserError
from pipeline.core.files import replace_bytes
from pipeline.versioning.dvc_repo import open_repo

_GIVEN = "address"
"""What a remote is called that was given by its address."""

REQUIREMENTS = Path("requirements-remotes.in")

_LIBRARIES = {"s3": "dvc-s3", "ssh": "dvc-ssh", "gs": "dvc-gs", "http": None, "https": None, "": None}
"""The library behind each kind of address; DVC itself brings those of local folders and of HTTP."""

_SECRETS = frozenset({"access_key_id", "secret_access_key", "session_token", "password", "passphrase", "token", "user",
                      "keyfile", "credentialpath", "profile", "configpath", "custom_auth_header"})  # fmt: skip
"""Options that are secret, or true on one machine only."""


@dataclass(frozen=True)
class Address:
    """Where a remote is, without secrets, and what must be kept apart."""

    url: str
    library: str | None
    private: Mapping[str, str]


def parse_address(url: str) -> Address:
    """Raise UserError for an address of an unknown kind; user names and passwords are taken out of it."""
    if not url.strip():
        raise UserError(
            "make remote needs an address: URL=/mnt/share, s3://BUCKET/PATH, gs://..., ssh://HOST/PATH or https://..."
        )
    scheme = urlsplit(url).scheme if re.match(r"[A-Za-z0-9+.-]+://", url) else ""
    if scheme not in _LIBRARIES:
        raise UserError(
            f"{url} is of a kind that is not supported ({scheme}); give a folder, or s3://, gs://, ssh://, https://"
        )
    if not scheme:
        return Address(url, None, {})
    parts = urlsplit(url)
    given = {"user": parts.username, "password": parts.password}
    if parts.password and scheme in ("http", "https"):
        given["auth"] = "basic"  # without it DVC leaves user and password unused
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Address(address, _LIBRARIES[scheme], {key: value for key, value in given.items() if value})


def parse_options(assignments: tuple[str, ...]) -> dict[str, str]:
    """Parse KEY=VALUE words. Raise UserError for anything else."""
    pairs = [word.partition("=") for word in assignments]
    for key, equals, value in pairs:
        if not re.fullmatch(r"[a-z0-9_]+", key) or not equals or not value:
            raise UserError(f"{key}{equals}: give options as KEY=VALUE, for example endpointurl=http://localhost:9000")
    return {key: value for key, _, value in pairs}


def set_up(root: Path, name: str, url: str, options: Mapping[str, str]) -> Address:
    """Make `name` the project's default remote. Raise UserError when DVC refuses the name, the address or an option."""
    address, name = parse_address(url), name.lower()  # DVC reads names in small letters
    if address.library:
        install(root, address.library)
    settings = {**address.private, **options}
    public = {"url": address.url} | {key: value for key, value in settings.items() if key not in _SECRETS}
    private = {key: value for key, value in settings.items() if key in _SECRETS}
    try:
        with open_repo(root) as repo, _both_or_neither(root):
            # Secrets of an earlier address would not fit this one.
            with repo.config.edit("local", validate=False) as content:
                content.setdefault("remote", {}).pop(name, None)
            with repo.config.edit("repo") as content:
                content.setdefault("remote", {})[name] = public
                content.setdefault("core", {})["remote"] = name
            if private:
                with repo.config.edit("local") as content:
                    content.setdefault("remote", {})[name] = private
        return address
    except ConfigError as error:  # which names the option, never its value, which may be a secret
        reason = " ".join(str(error).split())
        raise UserError(f"DVC refuses the remote {name}: {reason}; see 'dvc remote modify --help' for the options") from error


@contextmanager
def _both_or_neither(root: Path) -> Iterator[None]:
    """Put both files of DVC's configuration back as they were when the block fails."""
    files = [root / ".dvc" / name for name in ("config", "config.local")]
    before = {file: file.read_bytes() if file.is_file() else None for file in files}
    try:
        yield
    except BaseException:
        for file, content in before.items():
            if content is None:
                file.unlink(missing_ok=True)
            elif file.read_bytes() != content:
                replace_bytes(file, content)
        raise


def name_of(repo: Repo, given: str | None) -> str | None:
    """Return the remote that is called so; for an address, one that only this `repo` in memory knows, no config file.

    Raise UserError for an address of an unknown kind, and for a folder that is not there.
    """
    known = repo.config["remote"]
    if given is None or given in known or not (re.search(r"[/\\]|^[.~]", given) or Path(given).is_dir()):
        return given
    address = parse_address(given)
    url = address.url if "://" in given else str(Path(given).expanduser().resolve())
    if "://" not in given and not Path(url).is_dir():
        raise UserError(
            f"there is no folder {given}; give the name of a DVC remote, a folder, or s3://, gs://, ssh://, https://"
        )
    # A remote with that address may have options that are needed there.
    if (same := next((name for name, entry in known.items() if entry.get("url") == url), None)) is not None:
        return str(same)
    known[_GIVEN] = {"url": url, **address.private}
    return _GIVEN


def install(root: Path, library: str) -> None:
    """Install a remote's library at the project's pin, unless it is there. Raise UserError when that fails."""
    if importlib.util.find_spec(library.replace("-", "_")) is not None:
        return
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", pinned(root, library)]
    if subprocess.run([sys.executable, *words], check=False).returncode:
        raise UserError(f"{library} cannot be installed; check the connection, or install it with 'pip install {library}'")


def pinned(root: Path, library: str) -> str:
    """Return the line of requirements-remotes.in for a library."""
    lines = (root / REQUIREMENTS).read_text().splitlines() if (root / REQUIREMENTS).is_file() else []
    return next((line.strip() for line in lines if line.startswith(f"{library}=")), library)
