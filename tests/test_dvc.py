"""dvc.yaml says what the code says: parameters, module dependencies, order."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.chain.params import STAGE_PARAMS
from project import ROOT

FRAME = {
    "__main__.py", "core/errors.py", "core/guards.py", "core/process.py", "core/progress.py", "chain/params.py",
    "chain/paths.py", "chain/run_environment.py", "chain/model_names.py", "methods/registry.py",
}  # fmt: skip
"""Modules that pass values on but decide no image, weight or measure, so that they are no dependency."""

METHODS = ("schedules", "policies", "measures")
"""Kinds of method: who asks for one may run any file of its folder, and the project's own in extensions/."""

STAGES = {"prepare": "prepare", "reference": "measure", "reference_analysis": "analyse", "measure": "measure",
          "analyse": "analyse", "curate": "curate", "train": "train", "sample": "sample", "report": "report"}  # fmt: skip


def definition(stage: str) -> dict:
    entry = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]
    return entry.get("do", entry)


def module_file(name: str) -> Path | None:
    path = ROOT / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported(file: Path) -> set[Path]:
    """Files of this package that `file` imports, anywhere in it; of a kind of method all files."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {path for name in names if name.startswith("pipeline") and (path := module_file(name))}
    kinds = {folder for kind in METHODS if (folder := ROOT / "pipeline/methods" / kind) / "__init__.py" in found}
    return found | {path for folder in kinds for path in folder.glob("*.py")}


def closure(package: str) -> set[Path]:
    """Every file of this package that running the stage can import."""
    waiting = set((ROOT / "pipeline" / package).rglob("*.py"))
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file in seen or file.relative_to(ROOT / "pipeline").as_posix() in FRAME:
            continue
        seen.add(file)
        waiting |= imported(file)
    return {file for file in seen if file.name != "__init__.py" or file.parent.name == package}


@pytest.mark.parametrize(("stage", "package"), STAGES.items(), ids=list(STAGES))
def test_code_dependencies_are_the_modules_that_the_stage_imports(stage: str, package: str) -> None:
    listed = [ROOT / dep for dep in definition(stage)["deps"] if dep.startswith("pipeline/")]
    needed = closure(package)
    covered = {file for file in needed for dep in listed if file == dep or dep in file.parents}
    assert {file.relative_to(ROOT).as_posix() for file in needed - covered} == set()
    idle = [dep for dep in listed if not any(file == dep or dep in file.parents for file in needed)]
    assert idle == []


@pytest.mark.parametrize(("stage", "package"), STAGES.items(), ids=list(STAGES))
def test_a_stage_that_runs_any_method_of_a_kind_depends_on_the_folders_of_that_kind(stage: str, package: str) -> None:
    files = closure(package)
    kinds = {kind for kind in METHODS if set((ROOT / "pipeline/methods" / kind).glob("[!_]*.py")) <= files}
    listed = {dep for dep in definition(stage)["deps"] if dep.startswith(("extensions", "pipeline/methods"))}
    folders = {f"{place}/{kind}" for kind in kinds for place in ("extensions", "pipeline/methods")}
    assert folders <= listed
    assert {dep for dep in listed if dep.startswith("extensions")} <= folders


@pytest.mark.parametrize(("stage", "package"), [pair for pair in STAGES.items() if pair[0] != "report"])
def test_parameters_are_those_that_the_stage_may_read(stage: str, package: str) -> None:
    assert sorted(definition(stage)["params"]) == sorted(STAGE_PARAMS[package])


@pytest.mark.parametrize("stage", STAGES)
def test_a_base_model_that_is_fetched_makes_no_stage_stale(stage: str) -> None:
    fetched = ROOT / "models/base/another"
    assert not [dep for dep in definition(stage)["deps"] if ROOT / dep in (fetched, *fetched.parents)]


def test_what_ends_an_iteration_is_defined_before_what_goes_on() -> None:
    order = list(YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])
    assert max(order.index("measure"), order.index("analyse")) < min(order.index("sample"), order.index("train"))


def test_cfg_reaches_neither_preparation_nor_training() -> None:
    readers = {stage for stage in STAGES if stage != "report" and "cfg" in definition(stage)["params"]}
    assert readers == {"sample"}
