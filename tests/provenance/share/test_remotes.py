"""remote: the right library for an address, and secrets in the one file that Git does not see."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.provenance.share import remotes
from project import ROOT
from provenance.share.share_project import git, redifine


@pytest.fixture
def no_install(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Libraries that would have been installed."""
    asked: list[str] = []
    monkeypatch.setattr(remotes, "install", lambda root, library: asked.append(library))
    return asked


@pytest.mark.parametrize(
    ("url", "library", "address", "private"),
    [
        ("/mnt/share", None, "/mnt/share", {}),
        ("../store", None, "../store", {}),
        ("s3://bucket/path", "dvc-s3", "s3://bucket/path", {}),
        ("gs://bucket/path", "dvc-gs", "gs://bucket/path", {}),
        ("ssh://ann:secret@host:2222/path", "dvc-ssh", "ssh://host:2222/path", {"user": "ann", "password": "secret"}),
        ("https://example.org/d", None, "https://example.org/d", {}),
        ("https://ann:pw@host/d", None, "https://host/d", {"user": "ann", "password": "pw", "auth": "basic"}),
    ],
)
def test_an_address_names_its_library_and_loses_its_secrets(
    url: str, library: str | None, address: str, private: dict[str, str]
) -> None:
    assert remotes.parse_address(url) == remotes.Address(address, library, private)


def test_secrets_stay_out_of_what_git_tracks(project: Path, no_install: list[str]) -> None:
    redifine(project, "remote", "s3://bucket/path", "--set", "endpointurl=http://localhost:9000",
             "--set", "access_key_id=KEYKEYKEY", "--set", "secret_access_key=HUSHHUSH")  # fmt: skip
    git(project, "add", "-A")
    tracked = "".join((project / name).read_text() for name in git(project, "ls-files", ".dvc").splitlines())
    assert "endpointurl = http://localhost:9000" in tracked and "s3://bucket/path" in tracked
    assert "KEYKEYKEY" not in tracked and "HUSHHUSH" not in tracked
    assert "HUSHHUSH" in (project / ".dvc/config.local").read_text()
    assert no_install == ["dvc-s3"]
    # Another address forgets the old one's keys, which would not fit it.
    redifine(project, "remote", "ssh://ann:hush@host/path")
    assert "HUSHHUSH" not in (project / ".dvc/config.local").read_text()
    assert "hush" not in (project / ".dvc/config").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((" ",), "make remote needs an address"),
        (("hdfs://x/y",), "of a kind that is not supported \\(hdfs\\)"),
        (("s3://bucket/x", "--set", "region"), "give options as KEY=VALUE"),
        (("s3://bucket/x", "--set", "colour=blue"), "DVC refuses the remote shared: .*colour"),
    ],
    ids=["empty", "hdfs", "no value", "unknown option"],
)
def test_a_wrong_address_or_option_is_said(project: Path, no_install: list[str], words: tuple[str, ...], sentence: str) -> None:
    before = (project / ".dvc/config").read_text()
    with pytest.raises(UserError, match=sentence):
        redifine(project, "remote", *words)
    assert (project / ".dvc/config").read_text() == before


def test_every_library_has_a_pin() -> None:
    for library in ("dvc-s3", "dvc-ssh", "dvc-gs"):
        assert remotes.pinned(ROOT, library).startswith(f"{library}==")


def test_make_passes_address_and_options_on() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--old-file=.venv/.ready", "remote", "URL=s3://b/p", "SET=region=eu user=ann"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 'redifine remote "s3://b/p" --set "region=eu" --set "user=ann"' in done.stdout
