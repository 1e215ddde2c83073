"""A CLIP tokenizer with a vocabulary of its own: byte pairs learned from the creatures' captions."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from pipeline.core.files import write_text

END_OF_WORD = "</w>"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
_CLIP_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_tokenizer(captions: Iterable[str], folder: Path, *, merges: int = 600) -> CLIPTokenizer:
    """Learn up to `merges` byte pairs, write the tokenizer to `folder` in transformers' layout and load it.

    All 512 byte tokens (inside and at the end of a word) come first, so that any text can be encoded.
    """
    learned = _learn_merges(captions, merges)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + [symbol + END_OF_WORD for symbol in alphabet]
    tokens += [token for token in ("".join(pair) for pair in learned) if token not in set(tokens)]
    tokens = list(dict.fromkeys(tokens)) + [BOS, EOS]
    write_text(folder / "vocab.json", json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    write_text(folder / "merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in learned))
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77, pad_token=EOS)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _learn_merges(captions: Iterable[str], merges: int) -> list[tuple[str, str]]:
    """CLIP's own pre-tokenisation (lower case, words and punctuation apart), then byte pairs by frequency."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=END_OF_WORD))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_SPLIT), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=512 + merges,
        end_of_word_suffix=END_OF_WORD,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(captions)), trainer)
    pairs = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in pairs]
