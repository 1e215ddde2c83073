"""Does a change keep every result to the bit? `python -m benchmarks.same_outputs REVISION [KEY=VALUE...]`.

Runs the chain at REVISION and at HEAD, each in a worktree with a DVC cache of its own, and compares the hash of every output
in the two dvc.lock; what stages depend on may differ. Presets by name and values come after the revision:

    python -m benchmarks.same_outputs HEAD~1 trainer=builtin
    python -m benchmarks.same_outputs HEAD~1 redifine iterations=2
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
_LATER = re.compile(r'^  "(\d+)": \{prev: \d+\}\n', re.MULTILINE)


def outputs(lock: Path) -> dict[str, str]:
    """{path: md5} of every output that a dvc.lock records."""
    stages = YAML(typ="safe").load(lock)["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ())}


def run_chain(folder: Path, words: Sequence[str]) -> dict[str, str]:
    """Run the whole chain in a checkout, with presets and values of params.yaml; returns its outputs."""
    (folder / ".dvc/config.local").write_text(f'[cache]\n    dir = "{folder}/.dvc/cache"\n')
    vendored = ROOT / "vendor/sd-scripts"
    if (vendored / "train_network.py").is_file():
        shutil.copytree(vendored, folder / "vendor/sd-scripts", dirs_exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def redifine(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "pipeline", *arguments], cwd=folder, env=environment, check=True)

    values = [word for word in words if "=" in word and not word.startswith("iterations=")]
    if presets := [word for word in words if "=" not in word]:
        redifine("preset", *presets)
    if values:
        redifine("set", *values)
    for word in words:
        if word.startswith("iterations="):
            _shorten(folder / "params.yaml", int(word.partition("=")[2]))
    redifine("repro")
    return outputs(folder / "dvc.lock")


def _shorten(params: Path, last: int) -> None:
    """Leave only iterations up to `last`."""
    params.write_text(_LATER.sub(lambda line: line[0] if int(line[1]) <= last else "", params.read_text()))


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """A line for every output that is not the same in both."""
    paths = sorted({*before, *after})
    return [f"{path}: {before.get(path)} -> {after.get(path)}" for path in paths if before.get(path) != after.get(path)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("words", nargs="*", metavar="PRESET | KEY=VALUE")
    given = parser.parse_args()
    found: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="same-outputs-") as name:
        for revision in (given.revision, "HEAD"):
            folder = Path(name, "before" if not found else "after")
            subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(folder), revision], cwd=ROOT, check=True)
            try:
                found.append(run_chain(folder, given.words))
            finally:
                subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, check=False)
    lines = differences(*found)
    print("\n".join(lines) or f"all {len(found[0])} outputs are the same to the bit")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
