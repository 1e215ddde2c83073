"""What a caption is made of: the paper's rules for its data sets (A.2, Table 2) and for its prompt sets (C.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pipeline.core.errors import UserError

PARTS = ("blip", "style", "tags", "name", "description", "attributes")
FORMS = ("full", "tags", "short", "long")


def count_words(text: str) -> int:
    """Count runs of letters and digits, which is how BLIP's tokenizer sees words: "t-shirt" is two."""
    return len(re.findall(r"[^\W_]+", text))


@dataclass(frozen=True)
class Window:
    """How long BLIP's text is: `least` to `most` words, or tokens counted as BLIP's own options count them."""

    least: int
    most: int
    unit: str = "words"

    @property
    def label(self) -> str:
        """Return the key of the text in a row of parts: "50-75 words"."""
        return f"{self.least}-{self.most} {self.unit}"

    def fits(self, words: int) -> bool:
        return self.least <= words <= self.most


SHORT, MIDDLE, LONG = Window(5, 24), Window(25, 50), Window(50, 75)


@dataclass(frozen=True)
class Rule:
    """The parts of a caption in their order, the window of BLIP's text, and the words that name the style."""

    parts: tuple[str, ...]
    window: Window = LONG
    style: str = ""


@dataclass(frozen=True)
class Thresholds:
    """Scores from which a tag counts."""

    general: float = 0.35
    character: float = 0.85


RULES = {
    "pokemon": Rule(
        ("blip", "style", "tags", "name"),
        style="ultra-detailed, high-definition, high quality, masterpiece, sugimori ken (style)",
    ),
    "celeba": Rule(("blip",), MIDDLE),
    "kumapi": Rule(("tags", "style"), style="Kumapi style"),
    "butterfly": Rule(("blip", "description")),
    "folder": Rule(("blip", "style", "tags"), MIDDLE),
}


def prompt_set(rule: Rule, form: str) -> Rule:
    """Return the rule of a prompt set (C.4): tags, BLIP's short text or its long text alone, or the rule itself (full)."""
    if form not in FORMS:
        raise UserError(f"--form must be one of {', '.join(FORMS)}, got {form!r}")
    if form == "full":
        return rule
    if form == "tags":
        return replace(rule, parts=("tags",))
    window = SHORT if form == "short" else LONG
    return replace(rule, parts=("blip",), window=replace(window, unit=rule.window.unit))


def parse_window(text: str, unit: str) -> Window:
    """Parse "25-50". Raise UserError for another form."""
    match = re.fullmatch(r"([0-9]{1,3})-([0-9]{1,3})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--window must be LEAST-MOST, such as 25-50, got {text!r}")
    return Window(int(match[1]), int(match[2]), unit)


def parse_parts(text: str) -> tuple[str, ...]:
    """Parse "blip,style,tags". Raise UserError for an unknown one."""
    parts = tuple(part.strip() for part in text.split(","))
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise UserError(f"--parts knows {', '.join(PARTS)}, got {unknown[0]!r}")
    return parts
