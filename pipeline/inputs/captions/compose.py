"""Compose one caption from an image's parts by a rule, as in Table 2, and a folder's prompt sets (C.4) without a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.inputs.captions import parts
from pipeline.inputs.captions.parts import Parts, Tag
from pipeline.inputs.captions.rules import RULES, Rule, Thresholds, Window, prompt_set

_BUTTERFLY = re.compile(r"\b(butterfly|butterflies|moth|moths)\b", re.IGNORECASE)


def compose(parts: Parts, rule: Rule, thresholds: Thresholds) -> str:
    """Join the rule's parts in its order by commas, on one line; a part that the image lacks is left out."""
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
    """Return the tags at or above their threshold, in the tagger's order, without those that style or title say already."""
    said = {word.strip().casefold() for word in rule.style.split(",")} if "style" in rule.parts else set()
    if "name" in rule.parts:
        said.add(parts.title.casefold())
    least = {"general": thresholds.general, "character": thresholds.character}
    tags = (name for name, score, kind in parts.tags or () if score >= least.get(kind, thresholds.general))
    return [tag for tag in dict.fromkeys(tags) if tag.casefold() not in said]


def with_species(text: str, species: str) -> str:
    """Put the species into BLIP's sentence: "a butterfly on a leaf" -> "a Monarch butterfly on a leaf" (Table 2).

    Where the sentence has no butterfly, the species goes in front; where it has the species, nothing changes.
    """
    if not species or not text or species.casefold() in text.casefold():
        return text
    if _BUTTERFLY.search(text):
        return _BUTTERFLY.sub(lambda found: f"{species} {found.group()}", text, count=1)
    return f"a {species} butterfly, {text}"


def caption_of(parts: Parts, correction: Mapping[str, str], rule: Rule, thresholds: Thresholds) -> str:
    """Return what the rule makes of the parts with the image's corrections, or the caption that these give, on one line."""
    caption = correction.get("caption", compose(corrected(parts, correction, rule.window), rule, thresholds))
    return " ".join(caption.split())


def corrected(parts: Parts, correction: Mapping[str, str], window: Window) -> Parts:
    """Return parts with the corrections of one image (captions.overrides); its `caption` is left to the caller."""
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


_OPTION = {"tags": "--form tags", "short": "--all-forms", "long": "--all-forms"}


def prompt_set_captions(folder: Path, form: str) -> dict[str, str]:
    """Return {image's name without suffix: caption} of the prompt set `form` (tags, short or long) where it has the part.

    Thresholds and corrections by hand are those of the last `redifine caption`. Raise UserError when parts.jsonl is
    missing, or lacks the part for every image.
    """
    rows = parts.load(folder)
    if not rows:
        raise UserError(f"prompt_form {form} needs {folder / parts.NAME}; make it with 'redifine caption' (docs/datasets.md)")
    found = {name: caption for name, row in rows.items() if (caption := _prompt_set_caption(row, form))}
    if not found:
        raise UserError(
            f"prompt_form {form}: no image of {folder} has such a part in {parts.NAME}; "
            f"run 'redifine caption' again with {_OPTION.get(form, '--form full')}"
        )
    return found


def _prompt_set_caption(row: Parts, form: str) -> str:
    """Return the caption of one image, "" without its part; a window in words goes before one in tokens."""
    thresholds = Thresholds(*row.thresholds) if row.thresholds else Thresholds()
    for unit in ("words", "tokens"):
        window = replace(RULES["folder"].window, unit=unit)
        rule = prompt_set(replace(RULES["folder"], window=window), form)
        if caption := compose(corrected(row, row.corrections, rule.window), rule, thresholds):
            return caption
    return ""
