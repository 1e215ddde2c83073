"""A page to proof-read captions: image, caption, tokens, and where each number of 75-token windows would cut it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path

from pipeline.chain.params import PROMPT_LENGTHS
from pipeline.charts.thumbnails import THUMBNAIL_SIDE, jpeg_uri
from pipeline.core.files import write_text
from pipeline.core.weights import loading
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.datasets.images import open_image

_QUALITY = 80


@dataclass(frozen=True)
class Entry:
    """One caption as the page shows it."""

    name: str
    image: str
    """A data: URL."""
    segments: tuple[str, ...]
    """The caption cut where PROMPT_LENGTHS cut it: what fits 75, then 150, then 225 tokens, and what fits none."""
    tokens: int | None
    by_hand: bool

    @property
    def needs(self) -> int | None:
        """Return the smallest limit that holds all; None when none does, or tokens were not counted."""
        return next((limit for limit in PROMPT_LENGTHS if self.tokens is not None and self.tokens <= limit), None)


def write_sheet(
    path: Path, title: str, folder: Path, rows: Sequence[Parts], captions: dict[str, str], count: Callable[[str], int] | None
) -> None:
    """Write the page; `count` gives a text's tokens, None leaves them out. The same captions give the same bytes."""
    entries = [
        Entry(
            row.name,
            jpeg_uri(open_image(folder / row.file), THUMBNAIL_SIDE, _QUALITY),
            cut(captions[row.name], count) if count else (captions[row.name],),
            count(captions[row.name]) if count else None,
            captions[row.name] != row.caption,
        )
        for row in rows
        if row.name in captions
    ]
    write_text(path, _render(title, entries, counted=count is not None))


def _render(title: str, entries: list[Entry], counted: bool) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    over = {limit: sum(entry.tokens is not None and entry.tokens > limit for entry in entries) for limit in PROMPT_LENGTHS}
    return page.get_template("proof_sheet.html.j2").render(
        title=title, entries=entries, over=over, limits=PROMPT_LENGTHS, counted=counted
    )


def cut(caption: str, count: Callable[[str], int]) -> tuple[str, ...]:
    """Cut a caption into four pieces, the later ones often empty, at the words where it passes each of PROMPT_LENGTHS.

    CLIP's byte pairs never reach over a blank, so the tokens of the words add up to those of the caption.
    """
    words = caption.split(" ")
    reached = list(accumulate(count(word) for word in words))
    places = [0, *(bisect_right(reached, limit) for limit in PROMPT_LENGTHS), len(words)]
    return tuple(" ".join(words[first:last]) for first, last in pairwise(places))


def clip_counter(folder: Path) -> Callable[[str], int]:
    """Return a counter of tokens, without BOS and EOS, by the CLIPTokenizer in `folder`. Raise UserError if there is none."""
    import pipeline.core.compat  # noqa: F401  (before transformers)

    from transformers import CLIPTokenizer

    with loading(f"a CLIP tokenizer from {folder}", "name its folder with --tokenizer"):
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)

    @lru_cache(maxsize=65536)
    def count(text: str) -> int:
        return len(tokenizer.tokenize(text))

    return count
