"""Pokemon artwork, one image for each Pokedex number: 001.png (pokemon.com), 1.png (PokeAPI), 0001-bulbasaur.png."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from pipeline.inputs.datasets.csv_tables import read_table
from pipeline.inputs.datasets.items import Problem, RawItem, RawListing
from pipeline.inputs.datasets.layouts.files import first_file, image_folder, images_in

_PLACES = ("sprites/pokemon/other/official-artwork", "pokemon/other/official-artwork", "other/official-artwork",
           "official-artwork", "images/images", "images", "full", "")  # fmt: skip
_NUMBERED = re.compile(r"#?0*([1-9][0-9]{0,4})(?:[-_ .]+(.+))?$")
_TABLES = ("names.csv", "pokemon.csv", "Pokemon.csv", "pokedex.csv", "pokemon_species_names.csv")
_NUMBER_COLUMNS = ("pokemon_species_id", "species_id", "pokedex_number", "number", "id", "#", "no")
_NAME_COLUMNS = ("name", "identifier", "pokemon")
_ENGLISH = "9"
_FIRST_FORM = 10_000
"""PokeAPI numbers other forms (mega, alolan) from here on."""

_LAST = 1008
"""The paper's set is the Pokedex of April 2023 (A.2)."""


def read(folder: Path) -> RawListing:
    """List one item for each number, its title from a table of names beside the images; other forms are left out."""
    found = RawListing()
    place = image_folder(folder, _PLACES)
    by_number: dict[int, list[tuple[Path, str]]] = defaultdict(list)
    unnumbered: list[Path] = []
    for path in images_in(place, found):
        match = _NUMBERED.match(path.stem)
        if match:
            by_number[int(match[1])].append((path, match[2] or ""))
        else:
            unnumbered.append(path)
    if not by_number:
        found.items = [RawItem(path.stem, path, _title(path.stem)) for path in unnumbered]
        return found
    found.problems += [Problem(path.name, "has no Pokedex number at the start of its name") for path in unnumbered]
    names = _names(folder, place, found)
    forms = later = 0
    for number, files in sorted(by_number.items()):
        path, rest = min(files, key=lambda file: (bool(file[1]), file[0].name))
        others = [other for other, _ in files if other != path]
        forms += len(others) + (number >= _FIRST_FORM)
        found.problems += [Problem(o.name, f"has the number of {path.name}") for o in others if _plain(o) and _plain(path)]
        later += _LAST < number < _FIRST_FORM
        if number <= _LAST:
            if names and number not in names:
                found.problems.append(Problem(path.name, "has no row in the table of names: its caption lacks the name"))
            found.items.append(RawItem(f"{number:04d}", path, names.get(number, _title(rest))))
    if forms:
        found.notices.append(f"{forms} image(s) of other forms left out: the set has one image for each number")
    if later:
        found.notices.append(f"{later} Pokemon after number {_LAST} left out: the paper's set ends there")
    return found


def _plain(path: Path) -> bool:
    match = _NUMBERED.match(path.stem)
    return match is not None and not match[2]


def _title(text: str) -> str:
    """bulbasaur -> Bulbasaur, mr-mime -> Mr Mime; what has capitals stays."""
    words = re.sub(r"[-_\s]+", " ", text).strip()
    return words if any(letter.isupper() for letter in words) else words.title()


def _names(folder: Path, place: Path, found: RawListing) -> dict[int, str]:
    table = first_file((folder, place, place.parent), _TABLES)
    if table is None:
        found.notices.append(f"no table of names ({', '.join(_TABLES[:2])}: number, name): captions lack the Pokemon's name")
        return {}
    names: dict[int, str] = {}
    for line, row in enumerate(read_table(table), 2):
        if row.get("local_language_id", _ENGLISH) != _ENGLISH:
            continue
        number = next((row[key] for key in _NUMBER_COLUMNS if key in row), "").strip()
        name = next((row[key] for key in _NAME_COLUMNS if key in row), "").strip()
        if not number.isdecimal() or not name:
            found.problems.append(Problem(f"{table.name}, line {line}", "has no number and name"))
        else:
            # The first row of a number is the Pokemon, later ones its other forms.
            names.setdefault(int(number), _title(name))
    return names
