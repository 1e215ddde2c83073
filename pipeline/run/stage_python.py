"""The `python` that DVC's stages run, looked for before DVC removes a stage's outputs, which it does before it runs one.

Plain `dvc repro` has no place for such a look: there `dvc checkout` brings the outputs back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.core.errors import UserError

_SECONDS = 60
_ASK = "python -S -c 'import sys; print(sys.executable)'"


def use_this_python() -> None:
    """Put this project's `python` first on the PATH of what this process starts.

    Raise UserError where stages could not start.
    """
    ours = Path(sys.executable).parent
    if (ours / "python").is_file():
        os.environ["PATH"] = os.pathsep.join([str(ours), *filter(None, [os.environ.get("PATH")])])
    check_shell()


def check_shell() -> None:
    """Raise UserError unless the shell in which DVC runs stages is there and finds a `python`."""
    shell = os.environ.get("SHELL") or "/bin/sh"  # as DVC chooses it
    remedy = "run 'SHELL=/bin/sh redifine repro', or set SHELL to a shell that runs commands"
    try:
        done = subprocess.run([shell, "-c", _ASK], capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"DVC runs the stages in {shell}, the variable SHELL, and it does not answer; {remedy}") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"DVC runs the stages in {shell}, the variable SHELL, which cannot be run ({reason}); {remedy}"
        ) from error
    if done.returncode == 0 and done.stdout.strip():
        return
    if shutil.which("python") is None:
        raise UserError(f"the stages run 'python', and there is none on the PATH; {put_first()}")
    said = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
    raise UserError(
        f"DVC runs the stages in {shell}, the variable SHELL, and 'python' cannot be run there: {said[-1]}; {remedy}"
    )


def put_first() -> str:
    """Say how to make `python` this project's."""
    return f"put it first: 'export PATH={Path(sys.executable).parent}:$PATH', or run 'make repro'"
