"""DVC's reflinks, under a temporary name first, as its copies are: a kill leaves no empty file where a whole one should be.

DVC creates the file at its place, asks the file system to share the content, and removes it where that cannot be done.
"""

from __future__ import annotations

import os
from pathlib import Path


def link_whole_files() -> None:
    """From now on DVC in this process makes reflinks that are whole as soon as they are seen."""
    from dvc_objects.fs import system
    from dvc_objects.fs.utils import tmp_fname

    in_place = system.reflink
    if in_place.__module__ == __name__:
        return

    def reflink(source: str, place: str) -> None:
        unfinished = str(Path(place).with_name(tmp_fname()))
        in_place(source, unfinished)
        os.replace(unfinished, place)

    system.reflink = reflink
