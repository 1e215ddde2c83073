"""BLIP (Li et al. 2022) through transformers: images -> sentences of a length window, kept while they are written."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from transformers import (
    BlipForConditionalGeneration,
    BlipProcessor,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
)

from pipeline.core.errors import UserError
from pipeline.core.weights import loading
from pipeline.diffusion.deterministic import exact
from pipeline.inputs.captions.rules import Window

PROMPT = "a picture of"
"""What BLIP was trained to go on from; no part of the caption."""

BEAMS = 3
_TOKENS_PER_WORD = 3
_NO_REPEAT = 3
"""No three words twice: beams that must fill 50 words would else go round in circles."""


class Blip:
    """A captioning BLIP on one device, in float32. Deterministic: beam search, no random numbers."""

    def __init__(self, model: BlipForConditionalGeneration, processor: BlipProcessor, device: str) -> None:
        self._model = model.to(device).eval()
        self._processor = processor
        self._device = device
        self._begins, self._continues = (
            table.to(device) for table in word_tables(processor.tokenizer, model.config.text_config.vocab_size)
        )
        ids = processor.tokenizer(PROMPT, add_special_tokens=False).input_ids
        self._prompt = torch.tensor([[model.config.text_config.bos_token_id, *ids]], device=device)

    @torch.inference_mode()
    def caption(self, images: Sequence[Image.Image], window: Window) -> list[str]:
        """Caption RGB images -> one line of text each, as long as `window` says."""
        pixels = self._processor(images=list(images), return_tensors="pt").pixel_values.to(self._device)
        before, end = self._prompt.shape[1], self._model.config.text_config.sep_token_id
        length = LengthWindow(window, self._begins, self._continues, end, before)
        # BLIP's own generate drops the last token of what it is given, and puts BOS first.
        start = torch.nn.functional.pad(self._prompt, (0, 1), value=end).repeat(len(images), 1)
        with exact():
            ids = self._model.generate(
                pixel_values=pixels,
                input_ids=start,
                num_beams=BEAMS,
                do_sample=False,
                no_repeat_ngram_size=_NO_REPEAT,
                max_new_tokens=_TOKENS_PER_WORD * window.most,
                logits_processor=LogitsProcessorList([length]),
            )
        return [tidy(text) for text in self._processor.batch_decode(ids[:, before:], skip_special_tokens=True)]


def load_blip(folder: Path, device: str) -> Blip:
    """Load a BLIP from a local folder in transformers' layout (Salesforce/blip-image-captioning-large). Raise UserError."""
    if not folder.is_dir():
        raise UserError(f"--blip {folder} is no folder; fetch Salesforce/blip-image-captioning-large there (docs/datasets.md)")
    with loading(f"a BLIP from {folder}", "fetch it again (safetensors)"):
        processor = BlipProcessor.from_pretrained(str(folder), local_files_only=True, use_fast=False)
        model = BlipForConditionalGeneration.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    return Blip(model, processor, device)


def tidy(text: str) -> str:
    """Turn decoded word pieces into a line as people write it: no blank before a comma or inside "it's" and "t-shirt"."""
    text = re.sub(r"\s+([,.;:!?])", r"\1", text)
    return " ".join(re.sub(r"(?<=\w)\s*(['-])\s*(?=\w)", r"\1", text).split()).strip(" ,.")


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
