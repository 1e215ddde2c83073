"""The Leeds Butterfly data set: images/0010001.png (species 001), descriptions/001.txt (Latin name, name, description)."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.inputs.datasets.items import Problem, RawItem, RawListing
from pipeline.inputs.datasets.layouts.files import image_folder, images_in

_PLACES = ("leedsbutterfly/images", "leedsbutterfly_dataset_v*/leedsbutterfly/images",
           "butterfly-dataset/leedsbutterfly/images", "images", "")  # fmt: skip
_NAME = re.compile(r"([0-9]{3})[0-9]{4}$")
_SIZE = re.compile(r"^[\d\s/.\-\u2013\u00bc\u00bd\u00be]+[\"\u201d]\s*\([^)]*mm\)\.?\s*")
_UNDERSIDE = re.compile(r"(?:Below|Beneath|Underside)\b")

NAMES = {
    "001": "Monarch", "002": "Zebra Longwing", "003": "Crimson-patched Longwing", "004": "Common Buckeye",
    "005": "American Copper", "006": "Mourning Cloak", "007": "Giant Swallowtail", "008": "Cabbage White",
    "009": "Red Admiral", "010": "Painted Lady",
}  # fmt: skip
"""The ten species by the first three digits of an image's name."""


def read(folder: Path) -> RawListing:
    """List one item for each image, with its species and that species' description."""
    found = RawListing()
    place = image_folder(folder, _PLACES)
    known: dict[str, tuple[str, str]] = {}
    for path in images_in(place, found):
        match = _NAME.match(path.stem)
        if not match:
            found.problems.append(Problem(path.name, "is not named as the Leeds set names images (0010001.png)"))
            continue
        code = match[1]
        if code not in known:
            known[code] = _species(place.parent / "descriptions" / f"{code}.txt", code, found.problems)
        species, description = known[code]
        found.items.append(RawItem(path.stem, path, species=species, description=description))
    return found


def _species(path: Path, code: str, problems: list[Problem]) -> tuple[str, str]:
    """Read (name, description) from descriptions/CODE.txt; the name alone, or nothing, where it says nothing."""
    fallback = (NAMES.get(code, ""), "")
    label = f"descriptions/{path.name}"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        problems.append(Problem(label, f"is missing: captions of species {code} lack their description"))
        return fallback
    except (UnicodeDecodeError, OSError):
        problems.append(Problem(label, "is not UTF-8 text"))
        return fallback
    if len(lines) < 3:
        problems.append(Problem(label, "must hold the Latin name, the name and a description on lines of their own"))
        return (lines[1], "") if len(lines) == 2 else fallback
    return lines[1], plain_description(" ".join(lines[2:]))


def plain_description(text: str) -> str:
    """Rewrite a field guide's entry as the paper has it into captions (Table 2): no size, no underside, FW and HW in words."""
    text = _SIZE.sub("", text.strip())
    text = re.sub(r"\bFWs?\b", "fore wing", re.sub(r"\bHWs?\b", "hind wing", text))
    sentences = re.split(r"(?<=[.;])\s+", text)
    upper = next((i for i, sentence in enumerate(sentences) if _UNDERSIDE.match(sentence)), len(sentences))
    kept = " ".join(sentences[:upper]).rstrip(".; ")
    return kept[:1].lower() + kept[1:]
