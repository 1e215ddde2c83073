"""A scratch copy of the project, in which stages run without touching the work tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pipeline
from pipeline.chain import paths
from pipeline.chain.params import FILE, PATH_PARAMETERS, Params
from pipeline.chain.paths import OUTPUT_FOLDERS, Layout
from pipeline.core.errors import UserError
from pipeline.core.files import PROJECT_FILE, write_text
from pipeline.core.json_files import read_jsonl, write_json, write_jsonl
from pipeline.core.process import dying_with_parent
from pipeline.methods.registry import EXTENSIONS

_DVC = ("DVC_STAGE", "DVC_ROOT")


@contextmanager
def scratch_project(root: Path, params: Params, made: Collection[str], prompts: Collection[int] = ()) -> Iterator[Path]:
    """Yield a temporary folder with `params` and links to all that the stages read, but not to what they will have `made`.

    With `prompts`, P has only these, under their own numbers.
    """
    with tempfile.TemporaryDirectory(prefix="redifine-verify-") as name:
        scratch = Path(name)
        # JSON is YAML, with the keys of `iterations` quoted.
        write_json(scratch / FILE, params.model_dump())
        write_text(scratch / PROJECT_FILE, "stages: {}\n")  # so that this is the project, wherever TMPDIR lies
        if prompts:
            rows = read_jsonl(Layout(root).prompts, ("index", "prompt"))
            write_jsonl(Layout(scratch).prompts, [row for row in rows if row["index"] in prompts])
        for path in _inputs(root, params):
            if path not in made and not (scratch / path).exists():
                (scratch / path).parent.mkdir(parents=True, exist_ok=True)
                (scratch / path).symlink_to((root / path).resolve())
        if (vendored := paths.sd_scripts(root)) is not None:
            (scratch / "vendor").mkdir()
            (scratch / "vendor/sd-scripts").symlink_to(vendored.resolve())
        yield scratch


def _inputs(root: Path, params: Params) -> Iterator[str]:
    """Yield what lies where stages write, the paths that params name and extensions/, relative to the root."""
    for folder in OUTPUT_FOLDERS:
        if (root / folder).is_dir():
            yield from (f"{folder}/{path.name}" for path in sorted((root / folder).iterdir()))
    for path in (*(getattr(params, name) for name in PATH_PARAMETERS), EXTENSIONS.as_posix()):
        if path and not Path(path).is_absolute() and (root / path).exists():
            yield path


def run_stages(runner: str, scratch: Path, commands: Sequence[Sequence[str]], threads: int | None = None) -> None:
    """Run `commands` of the command line, in turn, in the scratch copy, with so many threads of torch (None: as ever).

    `runner` is the module that runs them in one process: the command line, which calls this, has it.

    Raise UserError when one fails.
    """
    command = [sys.executable, "-m", runner, json.dumps(commands)]
    done = subprocess.run(dying_with_parent(command), cwd=scratch, env=_environment(os.environ, threads), check=False)
    if done.returncode != 0:
        names = ", ".join(arguments[0] for arguments in commands)
        raise UserError(f"a stage ({names}) failed in the scratch copy, see above; 'redifine verify --all' checks its inputs")


def _environment(present: Mapping[str, str], threads: int | None) -> dict[str, str]:
    """This very pipeline on the path, and nothing that says the stage was started by DVC."""
    kept = {name: value for name, value in present.items() if name not in _DVC}
    if threads is not None:
        kept["OMP_NUM_THREADS"] = str(threads)
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, [str(package_root()), present.get("PYTHONPATH")]))}


def package_root() -> Path:
    """Return the folder of the pipeline that runs here, and so in the scratch copy."""
    return Path(pipeline.__file__).resolve().parents[1]
