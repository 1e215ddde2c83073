"""What is said when somebody's own run of sd-scripts has ended: how to draw with its LoRA, or why there is none."""

from __future__ import annotations

import argparse
import re
import shlex
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.diffusion import lora as lora_files
from pipeline.diffusion.families import ModelFamily

_JAPANESE = "\u3000-\u30ff\u4e00-\u9fff\uff00-\uff9f"
_SLASH_AND_JAPANESE = re.compile(rf" / [^/]*[{_JAPANESE}].*$")
_SENTENCE_IN_JAPANESE = re.compile(rf"(?<=\. )\S*[{_JAPANESE}].*$")


def outcome_of(lora: Path, args: argparse.Namespace, family: ModelFamily) -> dict[str, Any]:
    """Return {"lora": its path, "draw": the words of a command that draws with it as it was trained}.

    {"lora": its path, "undrawable": why} for a kind of network that `redifine sample` does not take.
    Raise UserError when the weights are NaN or infinite, as sd-scripts saves them without a word.
    """
    try:
        weights = lora_files.read(lora)
    except UserError as error:
        return {"lora": str(lora), "undrawable": str(error)}
    lora_files.check_finite(weights, lora)
    return {"lora": str(lora), "draw": _draw_command(lora, args, family)}


def _draw_command(lora: Path, args: argparse.Namespace, family: ModelFamily) -> list[str]:
    """Return the command that samples with what sd-scripts trained with, where `redifine sample` would take another default."""
    command = ["redifine", "sample", "--lora", str(lora), "--model", str(args.pretrained_model_name_or_path)]
    if args.vae:
        command += ["--vae", str(args.vae)]
    clip_skip = args.clip_skip or 1
    if _has_clip_skip(family, clip_skip):
        command += ["--clip-skip", str(clip_skip)]
    return [*command, "--max-token-length", str(args.max_token_length or 75), "--prompts", "FILE"]


def _has_clip_skip(family: ModelFamily, clip_skip: int) -> bool:
    """Tell whether sd-scripts obeys a clip skip for the family: SDXL's script always trains with the same."""
    try:
        family.check_clip_skip(clip_skip)
    except UserError:
        return False
    return True


def no_data(args: argparse.Namespace) -> str:
    """Return why sd-scripts may have ended without a LoRA and without an error."""
    if args.dataset_config:
        return f"it found no images where {args.dataset_config} says; see its output above"
    return f"it found no images; {args.train_data_dir} must hold folders named REPEATS_NAME, such as 10_cat, with the images"


def failed(error: Exception, args: argparse.Namespace, dataset: Mapping[str, Any], odd: Sequence[str]) -> UserError:
    """Return sd-scripts' failure in one sentence, with what may have caused it; the traceback goes beside the LoRA."""
    words = shorten(one_line(str(error)), 400, placeholder=" ...")
    name = "" if isinstance(error, AssertionError | OSError) and words else f"{type(error).__name__}: "
    log = Path(args.output_dir) / "finetune-error.log"
    write_text(log, "".join(traceback.format_exception(error)))
    hints = [*odd, *_unreadable_data(error, args, dataset), *_no_tokenizer(error, args)]
    hint = f"; {'; '.join(hints)}" if hints else ""
    return UserError(f"sd-scripts failed: {name}{words}{hint} (traceback: {log})")


def _unreadable_data(error: Exception, args: argparse.Namespace, dataset: Mapping[str, Any]) -> Iterator[str]:
    """Name what finds a damaged image or caption, which sd-scripts' error does not name."""
    if not isinstance(error, UnicodeDecodeError) and "image file" not in str(error):
        return
    subsets = [subset for part in dataset.get("datasets", ()) for subset in part.get("subsets", ())]
    folders = [str(subset["image_dir"]) for subset in subsets if "image_dir" in subset] or [str(args.train_data_dir)]
    for folder in folders:
        yield f"an image or a caption cannot be read: 'redifine dataset check folder {shlex.quote(folder)}' names it"


def _no_tokenizer(error: Exception, args: argparse.Namespace) -> Iterator[str]:
    """Say what to do without CLIP's tokenizer, which sd-scripts asks the hub for where the model does not bring its own."""
    if not any(frame.name == "_load_tokenizer" for frame in traceback.extract_tb(error.__traceback__)):
        return
    model = str(args.pretrained_model_name_or_path)
    advice = f"run 'redifine base fetch {shlex.quote(model)} --tokenizer PATH', and name the folder that it prints"
    if Path(model).is_dir():
        advice = "leave out tokenizer_cache_dir, so that the model's own is used"
    yield f"the tokenizer openai/clip-vit-large-patch14 cannot be loaded: allow the network once, or {advice}"


def one_line(message: str) -> str:
    """Return an error's words on one line, without sd-scripts' translation into Japanese."""
    line = _SLASH_AND_JAPANESE.sub("", " ".join(message.split()))
    return _SENTENCE_IN_JAPANESE.sub("", line).rstrip()
