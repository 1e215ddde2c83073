"""Compare the installed packages, sd-scripts and the user of an image with what the project pins; exit code 1 for a difference.

python docker/check.py LOCK...    (run in an image, or in any environment; standard library only)
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;#]+)")
_SCRIPTS = (Path("vendor/sd-scripts"), Path("/redifine/vendor/sd-scripts"))


def pins(lines: Iterable[str]) -> dict[str, str]:
    """{package: version} of lines as `pip freeze` writes them. Raises ValueError for a line that pins nothing."""
    found = {}
    for line in (line.partition("#")[0].strip() for line in lines):
        if not line:
            continue
        match = _PIN.fullmatch(line.partition(";")[0].strip())
        if not match:
            raise ValueError(f"{line!r} pins no version")
        found[match[1]] = match[2]
    return found


def differences(wanted: dict[str, str]) -> list[str]:
    """A line for each package that is missing or of another version; a build's own suffix (2.13.0+cpu) does not count."""
    found = []
    for name, pin in wanted.items():
        try:
            here = version(name)
        except PackageNotFoundError:
            found.append(f"{name} is not installed, the lock has {pin}")
            continue
        if here.partition("+")[0] != pin.partition("+")[0]:
            found.append(f"{name} is {here}, the lock has {pin}")
    return found


def commit_of(folders: Iterable[Path]) -> str | None:
    """HEAD of the first of `folders` that holds sd-scripts with its history; None when none does."""
    for folder in folders:
        if (folder / "train_network.py").is_file() and (folder / ".git").is_dir():
            command = ["git", "-c", "safe.directory=*", "-C", str(folder), "rev-parse", "HEAD"]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return None


def main(locks: list[str]) -> int:
    wanted: dict[str, str] = {}
    for lock in locks:
        wanted |= pins(Path(lock).read_text(encoding="utf-8").splitlines())
    wrong = differences(wanted)
    for line in wrong:
        print(line, file=sys.stderr)
    torch = version("torch")
    print(f"{len(wanted) - len(wrong)} of {len(wanted)} packages as pinned; Python {sys.version.split()[0]}; torch {torch}")
    print(f"sd-scripts {commit_of(_SCRIPTS) or 'without its history'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
