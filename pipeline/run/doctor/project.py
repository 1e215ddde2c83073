"""What the checkout has: parameters, the right python, the packages, the model, sd-scripts at its pin."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
from pathlib import Path

from pipeline.chain import params as parameters
from pipeline.chain.params import Params
from pipeline.chain.paths import sd_scripts
from pipeline.core.errors import UserError
from pipeline.diffusion.families.layouts import layout_of
from pipeline.run.doctor import CheckResult, note, ok, problem
from pipeline.run.stage_python import check_shell, put_first
from pipeline.run.status.killed_experiment import leftovers
from pipeline.versioning.git import ask_git, head_of_checkout

_SUBMODULE = "vendor/sd-scripts"
_SHOWN = 4


def read_params(root: Path) -> tuple[Params | None, CheckResult]:
    """Return params.yaml, None when it cannot be read."""
    try:
        found = parameters.load(root / parameters.FILE)
    except UserError as error:
        return None, problem("params.yaml", str(error), "fix it; 'git diff params.yaml' shows what was changed")
    return found, ok("params.yaml", f"{found.last} iterations, trainer {found.trainer}, model {found.model}")


def python() -> CheckResult:
    """Check that the stages' `python`, whatever the PATH finds first, is this project's."""
    found, version = shutil.which("python"), sys.version.split()[0]
    if found is None:
        return problem("python", f"no 'python' on the PATH, and the stages run it; this one is {version}", put_first())
    if Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        return problem("python", f"'python' is {found}, not this project's", put_first())
    try:
        check_shell()
    except UserError as error:
        return problem("python", str(error), "")
    return ok("python", f"{version}, {found}")


def packages(root: Path) -> CheckResult:
    """Compare installed versions with requirements.lock."""
    lock = root / "requirements.lock"
    if not lock.is_file():
        return note(
            "packages", "there is no requirements.lock to compare with", "restore it with 'git checkout requirements.lock'"
        )
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE))
    installed = {name: _version(name) for name in pinned}
    others = [
        f"{name} {installed[name] or 'missing'} for {pin}" for name, pin in pinned.items() if not _same(installed[name], pin)
    ]
    if not others:
        return ok("packages", f"all {len(pinned)} as in requirements.lock")
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return note("packages", f"not as in requirements.lock: {', '.join(others[:_SHOWN])}{more}", "run 'make env'")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _same(found: str | None, pin: str) -> bool:
    """Compare versions; a build's own suffix, as in 2.13.0+cu126, does not count."""
    return found is not None and found.partition("+")[0] == pin.partition("+")[0]


def model(root: Path, params: Params) -> CheckResult:
    """Check that the base model, its VAE and the feature models are where params.yaml says, by their folders alone."""
    layout = layout_of(root / params.model)
    missing = [f"{params.model}/{part}" for part in layout.parts if not (part == layout.vae and params.vae)]
    missing = [name for name in missing if not (root / name).is_dir()]
    missing += [params.vae] if params.vae and not (root / params.vae).is_dir() else []
    if missing:
        return problem(
            "model", f"{', '.join(missing)} is not there", "set model in params.yaml to a folder in diffusers layout"
        )
    return ok("model", params.model)


def images(root: Path, params: Params) -> CheckResult:
    """Check for the user's own images, where params.yaml asks for them."""
    if params.dataset != "folder":
        return ok("images", "drawn creatures")
    if not params.folder or not (root / params.folder).is_dir():
        return problem(
            "images", f"{params.folder} is no folder", "put images with .txt captions there, or set dataset: creatures"
        )
    return ok("images", params.folder)


def scripts(root: Path, params: Params | None) -> CheckResult:
    """Compare sd-scripts' commit with the one that this checkout pins."""
    needed = params is None or params.trainer == "kohya"
    found = sd_scripts(root)
    if found is None:
        tell = problem if needed else note
        return tell("sd-scripts", "not there", "run 'make vendor', or set trainer: builtin in params.yaml")
    has, pin = head_of_checkout(found), _pin(root)
    if has is None:
        return note("sd-scripts", f"{found} is no Git checkout, so its commit is unknown", "run 'make vendor'")
    if pin is not None and has != pin:
        return note("sd-scripts", f"at {has[:12]}, but this checkout pins {pin[:12]}", "run 'make vendor'")
    return ok("sd-scripts", f"{has[:12]}, as pinned" if pin else has[:12])


def experiment(root: Path) -> CheckResult:
    """Report what an experiment that was killed has left in the work tree."""
    if (left := leftovers(root)) is not None:
        return note("experiment", left.found, left.remedy)
    return ok("experiment", "none was killed in this work tree")


def _pin(root: Path) -> str | None:
    """Return the commit that the Git index has for the submodule: "160000 <commit> 0<tab>vendor/sd-scripts"."""
    fields = (ask_git(root, "ls-files", "--stage", _SUBMODULE) or "").split()
    return fields[1] if len(fields) > 1 and fields[0] == "160000" else None
