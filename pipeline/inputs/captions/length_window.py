"""Keep BLIP's text inside its length window while it is written, so that none has to be written twice."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

import re

import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from pipeline.inputs.captions.rules import Window

_WORD = re.compile(r"[^\W_]+")


def count_words(text: str) -> int:
    """Count runs of letters and digits, which is how BLIP's tokenizer sees words: "t-shirt" is two."""
    return len(_WORD.findall(text))


class LengthWindow(LogitsProcessor):
    """Forbid the end before `least`, a further word after `most`, and the rest of a word where no word stands.

    In words, a token counts when it begins one; what stands before the text (BOS and the prompt) does not count. In
    tokens, all count, as in BLIP's min_length and max_length.
    """

    def __init__(self, window: Window, begins_word: torch.Tensor, continues: torch.Tensor, end: int, before: int) -> None:
        """`begins_word`, `continues` [V] bool; `end` the end's token id; `before` the number of tokens before the text."""
        in_words = window.unit == "words"
        self._least, self._most, self._end = window.least, window.most, end
        self._before, self._first = before, before if in_words else 0
        self._in_word, self._continues = begins_word | continues, continues
        self._weight = begins_word.long() if in_words else torch.ones_like(begins_word, dtype=torch.long)
        self._barred_when_full = ~continues if in_words else torch.ones_like(continues)
        self._barred_when_full[end] = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Ids [B,L] int64, scores [B,V] -> scores [B,V] with what is forbidden at minus infinity."""
        length = self._weight[input_ids[:, self._first :]].sum(dim=1)
        barred = (length >= self._most)[:, None] & self._barred_when_full[None]
        barred[:, self._end] |= length < self._least
        open_word = self._in_word[input_ids[:, -1]] & (input_ids.shape[1] > self._before)
        barred |= ~open_word[:, None] & self._continues[None]
        return scores.masked_fill(barred, -torch.inf)


def word_tables(tokenizer: PreTrainedTokenizerBase, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell for each of `size` token ids whether it begins a word, and whether it continues one ("##ing") -> [V], [V] bool."""
    begins, continues = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
    special = set(tokenizer.all_special_tokens)
    for token, place in tokenizer.get_vocab().items():
        if place < size and token not in special:
            continues[place] = token.startswith("##")
            begins[place] = not token.startswith("##") and token[:1].isalnum()
    return begins, continues
