"""One row of parts and a rule -> one caption, as in Table 2."""

from __future__ import annotations

import re

from pipeline.captions.parts import Parts
from pipeline.captions.rules import Rule, Thresholds

_KIND = re.compile(r"\b(butterfly|butterflies|moth|moths)\b", re.IGNORECASE)


def compose(parts: Parts, rule: Rule, thresholds: Thresholds) -> str:
    """The rule's parts in its order, joined by commas, on one line; a part that the picture lacks is left out."""
    texts = {
        "blip": with_species(parts.blip.get(rule.window.label, ""), parts.species),
        "style": rule.style,
        "tags": ", ".join(kept_tags(parts, rule, thresholds)),
        "name": parts.title,
        "description": parts.description,
        "attributes": ", ".join(parts.attributes),
    }
    pieces = (" ".join(texts[part].split()).strip(" ,") for part in rule.parts)
    return ", ".join(piece for piece in pieces if piece)


def kept_tags(parts: Parts, rule: Rule, thresholds: Thresholds) -> list[str]:
    """Tags at or above their threshold, in the tagger's order, without those that style or title say already."""
    said = {word.strip().casefold() for word in rule.style.split(",")} if "style" in rule.parts else set()
    if "name" in rule.parts:
        said.add(parts.title.casefold())
    least = {"general": thresholds.general, "character": thresholds.character}
    tags = (name for name, score, kind in parts.tags or () if score >= least.get(kind, thresholds.general))
    return [tag for tag in dict.fromkeys(tags) if tag.casefold() not in said]


def with_species(text: str, species: str) -> str:
    """BLIP's sentence with the species in it: "a butterfly on a leaf" -> "a Monarch butterfly on a leaf" (Table 2).

    Where the sentence has no butterfly, the species goes in front; where it has the species, nothing changes.
    """
    if not species or not text or species.casefold() in text.casefold():
        return text
    if _KIND.search(text):
        return _KIND.sub(lambda found: f"{species} {found.group()}", text, count=1)
    return f"a {species} butterfly, {text}"
