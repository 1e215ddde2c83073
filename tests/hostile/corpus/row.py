"""One line of the corpus: what a person brings, the command that gets it, and exactly what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from hostile.workplace import Workplace
from PIL import Image

from pipeline.cli.application import main
from pipeline.core.json_files import read_jsonl

Bring = Callable[[Workplace], object]
"""Puts the input into the workplace."""

PREPARE = ("prepare",)
_NAME = "x"
"""The image whose pixels and caption are looked at; a and b are there, too."""


@dataclass(frozen=True)
class Refused:
    """Exit code 2 and one sentence, which holds this; the work that was done stays."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence

    def got(self, place: Workplace, command: tuple[str, ...]) -> str:
        found = place.refused(*command)
        assert self.sentence in found, found
        return found[max(0, found.index(self.sentence)) :]


@dataclass(frozen=True)
class Says:
    """Exit code 0, and the output has this."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence

    def got(self, place: Workplace, command: tuple[str, ...]) -> str:
        output = run(command)
        assert self.sentence in output, output
        return output[output.index(self.sentence) :].splitlines()[0]


@dataclass(frozen=True)
class Shows:
    """The image x of D_0: the colours of its upper and lower half, to within `off` levels."""

    upper: tuple[int, int, int]
    lower: tuple[int, int, int] | None = None
    off: int = 3

    def __str__(self) -> str:
        return f"{self.upper}" + (f" over {self.lower}" if self.lower else "")

    def got(self, place: Workplace, command: tuple[str, ...]) -> str:
        run(command)
        pixels = np.asarray(Image.open(drawn(place))).astype(int)
        upper, lower = pixels[8:24].mean((0, 1)), pixels[40:56].mean((0, 1))
        np.testing.assert_allclose(upper, self.upper, atol=self.off)
        np.testing.assert_allclose(lower, self.lower or self.upper, atol=self.off)
        shown = [tuple(int(round(value)) for value in half) for half in (upper, lower)]
        return f"{shown[0]} over {shown[1]}" if self.lower else f"{shown[0]}"


@dataclass(frozen=True)
class Captioned:
    """The caption of the image x in P."""

    text: str
    name: str = _NAME

    def __str__(self) -> str:
        return repr(self.text)

    def got(self, place: Workplace, command: tuple[str, ...]) -> str:
        run(command)
        found = {row["name"]: row["prompt"] for row in read_jsonl(place.root / "data/prompts.jsonl")}
        assert found[self.name] == self.text, found
        return repr(found[self.name])


@dataclass(frozen=True)
class Holds:
    """The captions of D_0, all of them; and the output has each of these."""

    captions: tuple[str, ...]
    said: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{len(self.captions)} images" + "".join(f"; {sentence}" for sentence in self.said)

    def got(self, place: Workplace, command: tuple[str, ...]) -> str:
        output = run(command)
        rows = read_jsonl(place.root / "data/D_0/manifest.jsonl")
        assert sorted(row["prompt"] for row in rows) == sorted(self.captions), rows
        assert all((place.root / "data/D_0" / row["file"]).is_file() for row in rows)
        missing = [sentence for sentence in self.said if sentence not in output]
        assert not missing, output
        return f"{len(rows)} images" + "".join(f"; {sentence}" for sentence in self.said)


Expected = Refused | Says | Shows | Captioned | Holds


@dataclass(frozen=True)
class Row:
    """`input` in words, unique in the corpus."""

    input: str
    bring: Bring
    expected: Expected
    command: tuple[str, ...] = PREPARE


def run(command: tuple[str, ...]) -> str:
    """Run a command that must succeed; return what it says."""
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return result.output


def drawn(place: Workplace) -> Path:
    """Return the path of the image x in D_0."""
    prompts = {row["name"]: row["index"] for row in read_jsonl(place.root / "data/prompts.jsonl")}
    rows = read_jsonl(place.root / "data/D_0/manifest.jsonl")
    return place.root / "data/D_0" / next(row["file"] for row in rows if row["prompt_index"] == prompts[_NAME])


def image(content: bytes, name: str = "x.png", caption: str | bytes = "a caption") -> Bring:
    """Bring an image with its caption into raw."""

    def bring(place: Workplace) -> None:
        path = place.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.with_suffix(".txt").write_bytes(caption if isinstance(caption, bytes) else caption.encode())

    return bring


def files(contents: dict[str, bytes | str], below: str = "raw") -> Bring:
    """Bring files by their paths."""

    def bring(place: Workplace) -> None:
        for name, content in contents.items():
            path = place.root / below / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return bring


def together(*parts: Bring) -> Bring:
    def bring(place: Workplace) -> None:
        for part in parts:
            part(place)

    return bring


def params(**changes: object) -> Bring:
    """Write params.yaml with changes."""
    return lambda place: place.set(**changes)
