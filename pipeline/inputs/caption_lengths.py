"""How many tokens captions have for a base model, and what of them a chain would cut off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.chain.params import PROMPT_LENGTHS
from pipeline.core.errors import UserError, printable
from pipeline.diffusion.families.layouts import layout_of
from pipeline.inputs.datasets.items import listed


def caption_lengths(model: str | Path, captions: Sequence[str]) -> list[int]:
    """Count each caption's tokens without the marks at its ends: the most of any of the model's tokenizers.

    Raise UserError when the model has no tokenizer.
    """
    if not captions:
        return []
    import pipeline.core.compat  # noqa: F401  (before transformers)

    from transformers import CLIPTokenizer

    from pipeline.diffusion.loading import from_pretrained

    counts = []
    for part in layout_of(model).tokenizers:
        tokenizer = from_pretrained(CLIPTokenizer, Path(model) / part)
        counts.append([len(ids) - 2 for ids in tokenizer(list(captions), verbose=False).input_ids])
    return [max(of_one) for of_one in zip(*counts, strict=True)]


def cut_captions(model: str | Path, captions: Sequence[tuple[str, str]], limit: int) -> list[str]:
    """Describe which captions, of (name, text), have more than `limit` tokens, and how many would be cut off."""
    lengths = caption_lengths(model, [text for _, text in captions])
    return [
        f"{printable(name)} has a caption of {length} tokens, {length - limit} more than max_token_length {limit}"
        for (name, _), length in zip(captions, lengths, strict=True)
        if length > limit
    ]


def require_uncut(cut: Sequence[str], limit: int) -> None:
    """Raise UserError when there are captions to be cut, with what to do about them."""
    if not cut:
        return
    longer = " or ".join(str(length) for length in PROMPT_LENGTHS if length > limit)
    ways = [
        "shorten them",
        *([f"set max_token_length to {longer}"] if longer else []),
        "set cut_captions to true to have them cut",
    ]
    raise UserError(f"{len(cut)} caption(s) would be cut off; {', '.join(ways[:-1])}, or {ways[-1]}: {listed(cut)}")
