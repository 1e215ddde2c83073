"""What README and docs name is there: files, modules, commands with their options, presets, environment variables."""

from __future__ import annotations

import ast
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from pipeline.cli.application import main
from project import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
SOURCES = ("pipeline", "docker", "benchmarks", "docs/writers", "Makefile", ".ci")
_FOLDERS = "pipeline|benchmarks|docs|tests|docker|sweeps|presets|extensions"
_PATH = re.compile(rf"(?<![\w/.-])((?:{_FOLDERS})/[\w./*-]*[\w*])(\{{)?")
_VARIABLE = re.compile(r"(?<![A-Z_])_?REDIFINE_[A-Z]+\b")
_MADE = re.compile(r"\b(SWEEP|NAME|x)(\.|$)")
"""Files whose names the page leaves to the reader."""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def tracked(*places: str) -> list[Path]:
    """Text files of the repository, those that a commit would add included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *places]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file() and not name.endswith((".png", ".safetensors"))]


def code(page: Path) -> list[str]:
    """The spans and the lines of blocks that are set as code."""
    text = page.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(\S.*)$", rest, re.MULTILINE)
    lines = [*(line for block in blocks for line in block.splitlines()), *indented]
    return [*re.findall(r"`([^`]+)`", rest), *(line.partition(" # ")[0] for line in lines)]


def missing_paths(text: str) -> list[str]:
    found = [path for path, open_ended in _PATH.findall(text) if not open_ended and not _MADE.search(path)]
    return [path for path in found if not any(ROOT.glob(path)) and not any(ROOT.glob(f"{path}*"))]


@pages
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert missing_paths(text) == [] == [link for link in links if link and not (page.parent / link).exists()]


def test_the_files_that_docstrings_and_makefile_name_are_there() -> None:
    modules = [path for path in tracked("benchmarks", "docs/writers", "pipeline") if path.suffix == ".py"]
    texts = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in modules}
    texts |= {path: path.read_text() for path in [ROOT / "Makefile", *tracked("docker")]}
    assert {str(path): gone for path, text in texts.items() if (gone := missing_paths(text))} == {}


@pages
def test_the_modules_that_a_page_names_can_be_imported(page: Path) -> None:
    text = page.read_text()
    for module, names in re.findall(r"^from ((?:pipeline|docs)[\w.]*) import (.+)$", text, re.MULTILINE):
        spec = find_spec(module)
        assert spec is not None and spec.origin is not None, module
        source = Path(spec.origin).read_text()
        for name in names.split(", "):
            assert re.search(rf"\b(def|class|import) {name}\b|^{name} ?[:=]", source, re.MULTILINE), f"{module}.{name}"
    for module in re.findall(r"python -m ((?:pipeline|docs|benchmarks)[\w.]*\w)", text):
        assert find_spec(module) is not None, module


@pages
def test_the_commands_that_a_page_names_exist_with_their_options(page: Path) -> None:
    calls = [call for line in code(page) for call in re.findall(r"\bredifine ((?:[\w.,:/=*~{}\[\]-]+ ?)+)", line)]
    assert [call for call in calls if not is_call(call)] == []


def is_call(call: str) -> bool:
    """Whether the words are a command of the application, and the options among them its own."""
    command: click.Command = main
    words = call.split()
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        if (found := command.commands.get(words.pop(0))) is None:
            return False
        command = found
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}
    passes_on = command.context_settings.get("ignore_unknown_options", False)
    return passes_on or all(word.partition("=")[0] in known for word in words if word.startswith("--"))


def test_a_command_that_is_none_is_noticed() -> None:
    assert is_call("sweep run sweeps/x.yaml --workers 2") and is_call("repro --pull measure")
    assert not is_call("results") and not is_call("sweep walk") and not is_call("sweep run --threads 2")


@pages
def test_the_targets_of_make_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for line in code(page) for name in re.findall(r"\bmake ([a-z][a-z-]+)", line)}
    assert named <= targets


def test_the_readme_shows_every_wing() -> None:
    table = (ROOT / "README.md").read_text().partition("## Where things are")[2]
    wings = [path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")]
    assert [wing for wing in wings if f"{wing}/`" not in table] == []


def first_column(section: str) -> str:
    """Of the table in that section of docs/settings.md."""
    text = (ROOT / "docs/settings.md").read_text().partition(f"## {section}")[2].partition("\n## ")[0]
    return "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))


def test_the_table_of_presets_has_all_of_them() -> None:
    named = set(re.findall(r"`([^`]+)`", first_column("Presets")))
    assert named == {path.stem for path in (ROOT / "presets").glob("*.yaml")}


def test_the_table_of_environment_variables_has_all_that_the_source_names() -> None:
    named = set(_VARIABLE.findall(first_column("Environment variables")))
    assert named == {name for path in tracked(*SOURCES) for name in _VARIABLE.findall(path.read_text())}


def test_the_words_of_the_glossary_occur_in_the_code() -> None:
    rows = [line.split("|")[1] for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("| ")][1:]
    source = "\n".join(path.read_text() for path in tracked("pipeline") if path.suffix == ".py")
    words = [word.strip() for row in rows for word in row.split(",")]
    assert len(words) >= 20
    assert [word for word in words if not re.search(rf"\b{re.escape(word)}s?\b", source)] == []
