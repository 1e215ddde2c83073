"""A sweep file and params.yaml -> chains, each with a name and all its parameters, checked before anything runs."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.chain import params as parameters
from pipeline.chain import presets
from pipeline.chain.params import Params
from pipeline.core.errors import UserError
from pipeline.core.files import read_text, sha256_bytes
from pipeline.methods.measures import MEASURES
from pipeline.studies.sweep.resources import Resources

FOLDER = Path("sweeps")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""What may be part of the name of a Git reference."""

COLLAPSE = "collapse"
"""In `show`: collapse rate against FID_1, which every comparison has."""

PRESET = "preset"
"""In base, arms or grid: the presets (a name, or several) that a chain starts from, where it would start from params.yaml."""


class Sweep(BaseModel):
    """What a sweep file may say. `arms` times `grid` times `seeds` are its chains."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    title: str = Field(min_length=1)
    paper: str = ""
    shows: str = ""
    base: dict[str, Any] = {}
    iterations: int | None = Field(None, ge=1)
    seeds: list[int] = Field([0], min_length=1)
    arms: dict[str, dict[str, Any]] = {}
    grid: dict[str, list[Any]] = {}
    show: list[str] = [COLLAPSE]
    resources: Resources = Resources()


@dataclass(frozen=True)
class Chain:
    """One run: an arm of a sweep with one seed."""

    sweep: str
    arm: str
    seed: int
    changed: tuple[str, ...]
    params: Params
    default_last: int
    """K of params.yaml."""
    file: Path = Path()
    """The sweep file."""
    preset: tuple[str, ...] = ()
    """What it starts from; empty: params.yaml."""

    @property
    def name(self) -> str:
        """Return the name of the experiment: sweep, arm, seed."""
        return f"{self.sweep}-{self.arm}-{self.seed}"

    @property
    def values(self) -> dict[str, Any]:
        """Return the parameters that params.yaml gets: what the sweep sets; all of them, where it names a preset."""
        plain = self.params.model_dump()
        return plain if self.preset else {key: plain[key] for key in self.changed}

    @property
    def digest(self) -> str:
        """Return a hash of all parameters."""
        return sha256_bytes(self.params.model_dump_json().encode())[:16]

    def settings(self) -> list[str]:
        """Return what the sweep sets, as KEY=VALUE."""
        plain = self.params.model_dump() | {"iterations": self.params.last}
        own = [_assignment(key, plain[key]) for key in self.changed]
        return [f"{PRESET}={'+'.join(self.preset)}", *own] if self.preset else own

    def command(self) -> str:
        """Return what one could type to get this chain alone, as an experiment of that name.

        `redifine exp` sets values, not the mapping `iterations`, and knows no preset: such a chain is left to the sweep.
        """
        if self.preset or self.params.last != self.default_last:
            return self.rerun()
        settings = [_assignment(key, value) for key, value in self.values.items() if key != "iterations"]
        return " ".join(["redifine exp run", "-n", self.name, *(f"-S {shlex.quote(text)}" for text in settings)])

    def rerun(self) -> str:
        """Return what one types to run this chain of the sweep again."""
        file = shlex.quote(self.file.as_posix())
        return f"redifine sweep run {file} --only {shlex.quote(self.arm)} --seeds {self.seed}"


def _assignment(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f"{key}=[{','.join(map(str, value))}]"
    return f"{key}={value}" if isinstance(value, str) else f"{key}={json.dumps(value)}"


def load(file: Path) -> Sweep:
    """Read a sweep file. Raises UserError that names the file and the key."""
    if not file.is_file():
        known = ", ".join(str(path) for path in sorted(FOLDER.glob("*.yaml")))
        raise UserError(f"there is no sweep file {file}; " + (f"the sweeps are {known}" if known else f"{FOLDER} has none"))
    try:
        content = YAML(typ="safe").load(read_text(file))
    except YAMLError as error:
        reason = str(error).partition("To suppress this check")[0]
        raise UserError(f"{file} cannot be read as YAML: {' '.join(reason.split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold 'key: value' lines (title, base, seeds, arms, grid, iterations, show)")
    try:
        sweep = Sweep.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: " + "; ".join(_sentence(problem) for problem in error.errors())) from error
    _check(sweep, file)
    return sweep


def _sentence(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        known = Resources.model_fields if key.startswith("resources.") else Sweep.model_fields
        return f"unknown key {key!r}; the keys are {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    return f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}"


def _check(sweep: Sweep, file: Path) -> None:
    if not sweep.arms and not sweep.grid:
        raise UserError(f"{file} needs arms (name: {{param: value}}) or grid (param: [values])")
    for name in (file.stem, *sweep.arms):
        if not _NAME.fullmatch(name) or ".." in name or name.endswith((".", ".lock")):
            raise UserError(f"{file}: {name!r} cannot be part of an experiment's name; use letters, digits, '.', '-' and '_'")
    if len(set(sweep.seeds)) < len(sweep.seeds) or min(sweep.seeds) < 0:
        raise UserError(f"{file}: seeds must be different whole numbers from 0 on, got {sweep.seeds}")
    for place, name in enumerate(sweep.show):
        if name != COLLAPSE and name not in MEASURES:
            raise UserError(f"{file}: show.{place} must be one of {COLLAPSE}, {', '.join(MEASURES)}, got {name!r}")
    places = {"base": sweep.base, "grid": sweep.grid} | {f"arms.{arm}": values for arm, values in sweep.arms.items()}
    for where, values in places.items():
        if "seed" in values:
            raise UserError(f"{file}: {where} sets seed; list the seeds under 'seeds'")


def chains(file: Path, only: Iterable[str] = (), seeds: Iterable[int] = (), params: Path = parameters.FILE) -> list[Chain]:
    """Return the chains of the sweep `file` over params.yaml, seed by seed, so that every arm gets its first seed first.

    `only` and `seeds` keep those arms and seeds. Raises UserError that names the file, the arm and the parameter.
    """
    sweep, only, seeds = load(file), set(only), set(seeds)
    start = parameters.load(params).model_dump()
    found = arms(sweep)
    _check_known(file, "arm", only, list(found))
    _check_known(file, "seed", seeds, sweep.seeds)
    return [
        _chain(file, arm, seed, values, start)
        for seed in sweep.seeds
        for arm, values in found.items()
        if (not only or arm in only) and (not seeds or seed in seeds)
    ]


def _check_known(file: Path, kind: str, asked: set[Any], known: list[Any]) -> None:
    missing = sorted(asked - set(known))
    if missing:
        raise UserError(f"{file} has no {kind} {missing[0]}; it has {', '.join(map(str, known))}")


def arms(sweep: Sweep) -> dict[str, dict[str, Any]]:
    """Return {name: what the arm sets}: each of `arms` with each point of `grid`. Raises UserError for two of one name."""
    base = sweep.base | ({"iterations": sweep.iterations} if sweep.iterations else {})
    named: dict[str, dict[str, Any]] = sweep.arms or {"": {}}
    points = [dict(zip(sweep.grid, point, strict=True)) for point in itertools.product(*sweep.grid.values())]
    found: dict[str, dict[str, Any]] = {}
    for name, values in named.items():
        for point in points:
            arm = _arm_name(name, point)
            if arm in found:
                raise UserError(
                    f"two arms would be called {arm}, with {found[arm]} and {base | values | point}; list them under 'arms'"
                )
            found[arm] = base | values | point
    return found


def _arm_name(name: str, point: dict[str, Any]) -> str:
    values = (_short(value) if key == PRESET else f"{key}{_short(value)}" for key, value in point.items())
    return "-".join(part for part in (name, *values) if part)


def _short(value: Any) -> str:
    """Return a value as part of a name: 2.5, off, a+b."""
    text = "+".join(map(str, value)) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", text)


def _chain(file: Path, arm: str, seed: int, values: dict[str, Any], start: dict[str, Any]) -> Chain:
    values = {**values, "seed": seed}
    preset = _preset(file, arm, values.pop(PRESET, []))
    count = values.get("iterations")
    if isinstance(count, int) and count > 0:
        values["iterations"] = {str(k): {"prev": k - 1} for k in range(1, count + 1)}
    params = parameters.check((presets.compose(preset) if preset else start) | values, Path(f"{file}, arm {arm}"))
    return Chain(file.stem, arm, seed, tuple(values), params, len(start["iterations"]), file, preset)


def _preset(file: Path, arm: str, given: Any) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file}, arm {arm}: {PRESET} must be a preset's name, or a list of names, got {given!r}")
    return tuple(names)
