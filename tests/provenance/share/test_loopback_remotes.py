"""Iterations through real servers of each kind that `make remote` knows; test_two_clones.py has folders and S3."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from provenance.share import loopback
from provenance.share.share_project import clone, commit, git, redifine, tree

pytestmark = pytest.mark.slow

SECRET = "hush-hush"


def set_remote(project: Path, url: str, **options: str) -> None:
    """Set the remote, commit what is tracked, and see that it holds no secret."""
    redifine(project, "remote", url, *(word for key, value in options.items() for word in ("--set", f"{key}={value}")))
    commit(project, "remote")
    git(project, "push", "--quiet")
    for secret in (SECRET, str(options.get("keyfile", SECRET))):
        assert secret not in git(project, "grep", "-h", "", "HEAD", "--", ".dvc")


def there_and_back(a: Path) -> None:
    """A shares; B, fresh, gets iteration 2 alone, and sees all of them on the remote; a second share sends nothing."""
    assert "file(s) sent" in redifine(a, "share")
    assert redifine(a, "share") == "everything is there already\n"
    assert gets_iteration(a, clone(a, "b"), 2)


def gets_iteration(a: Path, b: Path, k: int) -> bool:
    """B takes A's secrets and gets D_k and M_k, and no other."""
    if (a / ".dvc/config.local").is_file():
        shutil.copy(a / ".dvc/config.local", b / ".dvc/config.local")
    assert [row["complete"] for row in json.loads(redifine(b, "ls", "--json"))] == [True] * 4
    redifine(b, "get", str(k))
    assert [path.name for path in (b / "data").glob("D_*")] == [f"D_{k}"]
    return all(tree(b / name) == tree(a / name) for name in (f"data/D_{k}", f"models/M_{k}"))


@pytest.fixture
def ssh_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    (tmp_path / "sshd").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with loopback.ssh(tmp_path / "sshd", tmp_path / "home") as server:
        yield server


def test_a_chain_travels_through_ssh(project: Path, tmp_path: Path, ssh_server: tuple[str, Path]) -> None:
    login, key = ssh_server
    set_remote(project, f"ssh://{login}{tmp_path}/store", keyfile=str(key))
    user = login.partition("@")[0]
    assert f"user = {user}" not in (project / ".dvc/config").read_text()
    there_and_back(project)
    assert any((tmp_path / "store/files/md5").iterdir())


def test_an_ssh_server_that_is_not_the_known_one_or_refuses_the_key_is_said(
    project: Path, tmp_path: Path, ssh_server: tuple[str, Path]
) -> None:
    login, key = ssh_server
    other = loopback._new_key(tmp_path / "other")
    set_remote(project, f"ssh://{login}{tmp_path}/store", keyfile=str(other))
    with pytest.raises(UserError, match="cannot be used: Permission denied.*; check .* the credentials"):
        redifine(project, "share")
    known = tmp_path / "home/.ssh/known_hosts"
    known.write_text(known.read_text().partition(" ")[0] + " " + other.with_suffix(".pub").read_text())
    set_remote(project, f"ssh://{login}{tmp_path}/store/", keyfile=str(key))
    with pytest.raises(UserError, match="Host key is not trusted.*; .* connect to it once with 'ssh'"):
        redifine(project, "share")


@pytest.mark.parametrize("login", ["", f"ann:{SECRET}"], ids=["open", "with a password"])
def test_a_chain_is_read_through_http(project: Path, tmp_path: Path, login: str) -> None:
    redifine(project, "share")
    with loopback.http(project.parent / "store", tmp_path / "http.log", login) as host:
        set_remote(project, f"http://{login}@{host}" if login else f"http://{host}")
        with pytest.raises(UserError, match="is read only"):
            redifine(project, "share")
        assert gets_iteration(project, clone(project, "b"), 2)


def test_a_web_server_that_wants_a_password_or_is_gone_is_said(project: Path, tmp_path: Path) -> None:
    redifine(project, "share")
    b = clone(project, "b")
    with loopback.http(project.parent / "store", tmp_path / "http.log", f"ann:{SECRET}") as host:
        redifine(b, "remote", f"http://{host}")
        with pytest.raises(UserError, match="wants another user or password; give them with"):
            redifine(b, "get", "2")
    with pytest.raises(UserError, match="cannot be used: Cannot connect to host"):
        redifine(b, "get", "2")


def test_a_chain_travels_through_google_cloud(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback.google_cloud(tmp_path, "chains") as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        # Buckets with folders are asked for through gRPC, which the emulator does not speak.
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        set_remote(project, "gs://chains/store", endpointurl=address, allow_anonymous_login="true")
        there_and_back(project)
