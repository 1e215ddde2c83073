"""What the layer contract of pyproject.toml cannot see: circles through a package's own __init__, and names in strings."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import grimp

from project import ROOT

PACKAGE = ROOT / "pipeline"


def test_no_module_imports_itself_by_way_of_others() -> None:
    import networkx

    graph = grimp.build_graph("pipeline", exclude_type_checking_imports=False)
    arrows = [(a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a)]
    circles = [sorted(circle) for circle in networkx.strongly_connected_components(networkx.DiGraph(arrows)) if len(circle) > 1]
    assert circles == []


def order() -> dict[str, int]:
    """{folder: its place from the top} as the contract has it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = settings["contracts"][0]["layers"]
    return {name.strip(): place for place, layer in enumerate(layers) for name in layer.split("|")}


def names_of_modules(file: Path) -> list[str]:
    """Folders of the package that a file's strings, but for docstrings and sentences, name as modules."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"pipeline(\.\w+)*", node.value):
            found.append(node.value.split(".")[1] if "." in node.value else "cli")
    return found


def test_no_string_names_a_module_of_a_folder_above() -> None:
    places = order()
    above = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in PACKAGE.rglob("*.py")
        if (own := file.relative_to(PACKAGE).parts[0]) in places
        for name in names_of_modules(file)
        if name != own and places.get(name, 0) <= places[own]
    ]
    assert above == []


def test_one_listing_shows_the_whole() -> None:
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 22
    assert {name for name in entries if name.endswith(".py")} == {"__init__.py", "__main__.py"}
