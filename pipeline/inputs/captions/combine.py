"""One row of parts and a rule -> one caption, as in Table 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pipeline.inputs.captions.parts import Parts, Tag
from pipeline.inputs.captions.rules import Rule, Thresholds, Window

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


def caption_of(parts: Parts, correction: Mapping[str, str], rule: Rule, thresholds: Thresholds) -> str:
    """What the rule makes of the parts with the picture's corrections, or the caption that these give, on one line."""
    caption = correction.get("caption", compose(corrected(parts, correction, rule.window), rule, thresholds))
    return " ".join(caption.split())


def corrected(parts: Parts, correction: Mapping[str, str], window: Window) -> Parts:
    """Parts with the corrections of one picture (captions.overrides); its `caption` is left to the caller."""
    blip = parts.blip | ({window.label: correction["blip"]} if "blip" in correction else {})
    tags = tuple(_tags(correction["tags"])) if "tags" in correction else parts.tags
    if "add_tags" in correction:
        tags = (*(tags or ()), *_tags(correction["add_tags"]))
    if "remove_tags" in correction:
        removed = {name.casefold() for name, _, _ in _tags(correction["remove_tags"])}
        tags = tuple(tag for tag in tags or () if tag[0].casefold() not in removed)
    return replace(
        parts,
        blip=blip,
        tags=tags,
        title=correction.get("title", parts.title),
        species=correction.get("species", parts.species),
        description=correction.get("description", parts.description),
    )


def _tags(text: str) -> list[Tag]:
    return [(name.strip(), 1.0, "general") for name in text.split(",") if name.strip()]
