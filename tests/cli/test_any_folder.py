"""Commands typed in any folder of a project, whatever its path is called, and in any locale."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT

NAMES = ["mý projekt", 'it\'s "quoted"', "line\nbreak", "日本/100% $HOME"]
LOCALES = [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C.UTF-8"}]


def run(folder: Path, *arguments: str | bytes, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(
        command, cwd=folder, env=kept | {"PATH": path, "PYTHONPATH": str(ROOT)} | variables, capture_output=True,
        encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A clone below a folder of that name, with an identity and nothing but what DVC needs."""
    source = tmp_path / "source"
    for name in ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", ".gitattributes", ".dvc/config", ".dvc/.gitignore"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    (source / "data").mkdir()
    (source / "raw").mkdir()
    (source / "raw/README.md").write_text("raw images\n")
    (source / "data/README").write_text("a folder of the project\n")
    git(source, "init", "-q")
    git(source, "add", "-A")
    git(source, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "start")
    target = tmp_path / getattr(request, "param", "clone")
    target.parent.mkdir(parents=True, exist_ok=True)
    git(tmp_path, "clone", "-q", str(source), str(target))
    git(target, "config", "user.name", "T")
    git(target, "config", "user.email", "t@example.org")
    return target


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def remotes(clone: Path) -> dict[str, str]:
    """{name: address} as DVC itself reads its files."""
    from dvc.config import Config

    return {name: str(entry["url"]) for name, entry in Config(str(clone / ".dvc"))["remote"].items()}


@pytest.mark.parametrize("variables", LOCALES, ids=lambda variables: "_".join(variables))
@pytest.mark.parametrize("clone", NAMES[:1], indirect=True)
def test_a_remote_below_any_name_is_dvcs_in_any_locale(clone: Path, variables: dict[str, str], tmp_path: Path) -> None:
    place = tmp_path / "gemeinsam ü 共有"
    done = run(clone, "remote", str(place), **variables)
    assert done.returncode == 0, done.stderr
    assert remotes(clone) == {"shared": str(place)}
    assert 'type = "reflink,hardlink,copy"' in (clone / ".dvc/config").read_text(encoding="utf-8")


@pytest.mark.parametrize("given", [b"../a\xffb", "../100%(x)s", "s3://bucket/%(x)s"])
def test_what_dvc_cannot_hold_is_refused_and_both_files_stay(clone: Path, given: str | bytes) -> None:
    assert run(clone, "remote", "ssh://me:secret@host/path").returncode == 0
    before = [(clone / ".dvc" / name).read_bytes() for name in ("config", "config.local")]
    refused = run(clone, "remote", given)
    assert refused.returncode == 2 and "nothing was changed" in refused.stderr and "Traceback" not in refused.stderr
    assert [(clone / ".dvc" / name).read_bytes() for name in ("config", "config.local")] == before


def test_a_secret_file_keeps_its_permissions(clone: Path) -> None:
    (clone / ".dvc/config.local").write_text("")
    (clone / ".dvc/config.local").chmod(0o600)
    assert run(clone, "remote", "ssh://jörg:geheim@host/path").returncode == 0
    assert (clone / ".dvc/config.local").stat().st_mode & 0o777 == 0o600
    assert "jörg" in (clone / ".dvc/config.local").read_text(encoding="utf-8")


@pytest.mark.parametrize("clone", NAMES, indirect=True)
def test_commands_work_below_any_name(clone: Path) -> None:
    assert "7.5" in run(clone / "data", "set", "cfg=2.5").stdout
    assert "cfg: 2.5" in (clone / "params.yaml").read_text()
    told = run(clone / "data", "status")
    assert told.returncode == 0 and "prepare missing" in told.stdout, told.stderr
    assert run(clone / "data", "remote", "../../shared").returncode == 0
    assert Path(next(iter(remotes(clone).values()))) == clone.parent / "shared"
    assert os.listdir(clone / "data") == ["README"]


@pytest.mark.parametrize("clone", NAMES[:1], indirect=True)
def test_the_queue_says_at_once_what_its_worker_could_not_write(clone: Path) -> None:
    refused = run(clone, "exp", "run", "--queue", "-S", "cfg=2.5")
    assert refused.returncode == 2 and "queue writes in ASCII" in refused.stderr and "--temp" in refused.stderr
    assert git(clone, "status", "--porcelain") == ""


def test_a_name_in_gits_configuration_would_end_the_queue_too(clone: Path) -> None:
    git(clone, "config", "user.name", "Jürgen")
    refused = run(clone, "exp", "run", "--queue", "-S", "cfg=2.5")
    assert refused.returncode == 2 and ".git/config has 'Jürgen'" in refused.stderr


@pytest.mark.parametrize("title", ["Größe", "a (b) #1", 'Tom\'s "set"', "日本"])
def test_any_text_can_be_set(clone: Path, title: str) -> None:
    from ruamel.yaml import YAML

    from pipeline.versioning.experiment_checks import _parsed, quote_settings

    words = quote_settings(["run", "-S", f"title={title}", f"--set-param=params.yaml:title={title}"])
    assert [_parsed(word.rpartition("params.yaml:")[2]).value() for word in words[2:]] == [title, title]
    assert run(clone, "set", f"title={title}").returncode == 0
    assert YAML(typ="safe").load(clone / "params.yaml")["title"] == title


def test_a_grid_of_texts_stays_a_grid() -> None:
    from pipeline.versioning.experiment_checks import _parsed, _values, quote_settings

    words = quote_settings(["run", "--queue", "-S", "title=Größe,Länge,x", "-S", "cfg=1.0,2.5"])
    assert _values(_parsed(words[3]), queue=True) == ["Größe", "Länge", "x"] and words[5] == "cfg=1.0,2.5"


def test_given_paths_are_those_of_the_folder_and_defaults_those_of_the_project(clone: Path) -> None:
    (clone / "data/prompts.txt").write_text("a cat\n")
    told = run(clone / "data", "sample", "--prompts", "prompts.txt", "--model", "../nowhere")
    assert told.returncode == 2 and "nowhere" in told.stderr and "prompts.txt" not in told.stderr
    assert run(clone / "data", "miniature", "draw", "drawn", "--count", "1").returncode == 0
    assert len(list((clone / "data/drawn").glob("*.png"))) == 1
    outside = run(clone.parent, "status")
    assert outside.returncode == 2 and "run in the project's folder" in outside.stderr


def test_a_project_inside_a_project_is_its_own(clone: Path) -> None:
    inner = clone / "data/copy"
    git(clone, "worktree", "add", "-q", str(inner))
    run(inner, "set", "cfg=1.5")
    assert "cfg: 1.5" in (inner / "params.yaml").read_text() and "cfg: 1.5" not in (clone / "params.yaml").read_text()


@pytest.mark.parametrize("settings", [["core.autocrlf=true"], ["core.autocrlf=input"], ["core.autocrlf=true", "core.eol=crlf"]])
def test_a_clone_that_changes_line_breaks_changes_none_here(clone: Path, tmp_path: Path, settings: list[str]) -> None:
    words = [word for setting in settings for word in ("-c", setting)]
    git(tmp_path, *words, "clone", "-q", str(tmp_path / "source"), str(tmp_path / "windows"))
    files = git(clone, "ls-files").split()
    assert ".gitattributes" in files
    assert all((tmp_path / "windows" / name).read_bytes() == (clone / name).read_bytes() for name in files)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a clone to another owner")
@pytest.mark.parametrize(
    "command", [("compare", "HEAD", "workspace"), ("exp", "run", "-S", "cfg=2.5"), ("lineage", "1"), ("sweep", "status")]
)
def test_a_clone_of_another_owner_has_gits_words_and_remedy(clone: Path, command: tuple[str, ...]) -> None:
    for place, folders, files in os.walk(clone):
        for name in (place, *folders, *files):
            os.chown(Path(place, name), 12345, 12345)
    told = run(clone, *command, HOME=str(clone.parent))
    if command[0] in ("exp", "compare"):
        assert told.returncode == 2 and "dubious ownership" in told.stderr
        assert f"git config --global --add safe.directory {clone}" in told.stderr
    assert "git init" not in told.stderr and "Traceback" not in told.stderr
    doctor = run(clone, "doctor", HOME=str(clone.parent))
    assert "safe.directory" in doctor.stdout and "Traceback" not in doctor.stderr


@pytest.mark.parametrize("shell", ["/nonexistent/fish", "/bin/false", "/usr/bin/true"])
def test_a_shell_that_runs_no_stage_is_noticed_before_an_output_goes(clone: Path, shell: str) -> None:
    (clone / "data/prompts.jsonl").write_text("here\n")
    for command in (("repro",), ("exp", "run")):
        refused = run(clone, *command, SHELL=shell)
        assert refused.returncode == 2 and "SHELL" in refused.stderr and shell in refused.stderr
    assert (clone / "data/prompts.jsonl").read_text() == "here\n"


def test_stages_run_the_python_that_runs_repro_whatever_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.run.stage_python import use_this_python

    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("SHELL", "/bin/sh")
    use_this_python()
    found = subprocess.run(["/bin/sh", "-c", "python -c 'import sys; print(sys.prefix)'"], capture_output=True, text=True)
    assert found.stdout.strip() == sys.prefix
