"""CelebA, aligned and cropped: img_align_celeba/000001.jpg, with list_attr_celeba as .txt (official) or .csv (Kaggle)."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.csv_tables import read_table
from pipeline.inputs.datasets.items import Problem, RawItem, RawListing
from pipeline.inputs.datasets.layouts.files import first_file, image_folder, images_in

_PLACES = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba", "celeba/img_align_celeba",
           "celeba", "")  # fmt: skip
_NAME = re.compile(r"[0-9]{6}$")


def read(folder: Path) -> RawListing:
    """List one item for each image; its attributes are those that the table has as 1."""
    found = RawListing()
    place = image_folder(folder, _PLACES)
    numbered = []
    for path in images_in(place, found):
        if _NAME.match(path.stem):
            numbered.append(path)
        else:
            found.problems.append(Problem(path.name, "is not named as CelebA names images (000001.jpg)"))
    around = (folder, folder / "Anno", folder / "celeba", place.parent, place.parent / "Anno", place.parent.parent)
    table = first_file(around, ("list_attr_celeba.txt", "list_attr_celeba.csv"))
    attributes = _attributes(table) if table else {}
    if table is None:
        found.notices.append("no list_attr_celeba.txt or .csv: attributes are empty (the paper's captions use none)")
    for path in numbered:
        if table and path.stem not in attributes:
            found.problems.append(Problem(path.name, f"has no row in {table.name}"))
        found.items.append(RawItem(path.stem, path, attributes=attributes.get(path.stem, ())))
    return found


def _attributes(table: Path) -> dict[str, tuple[str, ...]]:
    """Return {image: names of the attributes that it has}."""
    if table.suffix == ".csv":
        rows = read_table(table)
        return {
            Path(row.get("image_id", "")).stem: tuple(_words(k) for k, v in row.items() if k and v.strip() == "1")
            for row in rows
        }
    lines = _lines(table)
    names = [_words(name) for name in lines[1].split()]
    found = {}
    for number, line in enumerate(lines[2:], 3):
        file, *values = line.split()
        if len(values) != len(names):
            raise UserError(
                f"{table}, line {number} has {len(values)} values for {len(names)} attributes; fetch the file again"
            )
        found[Path(file).stem] = tuple(name for name, value in zip(names, values, strict=True) if value == "1")
    return found


def _lines(table: Path) -> list[str]:
    try:
        lines = [line for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{table} cannot be read as text; fetch it again") from error
    if len(lines) < 2:
        raise UserError(f"{table} has no attributes (a count, their names, then one line an image); fetch it again")
    return lines


def _words(name: str) -> str:
    return name.replace("_", " ").lower()
