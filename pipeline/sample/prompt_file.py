"""Read files of prompts: one a line, or as sd-scripts' users write them, with each prompt's own size, seed, scale, steps.

The forms are those of sd-scripts' --sample_prompts: text with `#` comments and options behind a prompt (`--n` negative prompt,
`--w` width, `--h` height, `--d` seed, `--l` guidance scale, `--s` steps), TOML and JSON. What is not obeyed is refused by name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import decode_text
from pipeline.core.guards import fault_of_text, short_repr
from pipeline.core.json_files import parse_json


@dataclass(frozen=True)
class Prompt:
    """A prompt and what its file says about its image; None is what the command says."""

    text: str
    negative: str | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    cfg: float | None = None
    steps: int | None = None


class UnusablePrompt(Exception):
    """What is wrong with one prompt."""


_OPTIONS = {"n": "negative", "w": "width", "h": "height", "d": "seed", "l": "cfg", "s": "steps"}
_KEYS = {
    "prompt": "text", "negative_prompt": "negative", "width": "width", "height": "height", "seed": "seed", "scale": "cfg",
    "sample_steps": "steps",
}  # fmt: skip
_NOT_OBEYED = {
    "ss": "another sampler", "sample_sampler": "another sampler", "am": "the strength of a LoRA", "nl": "a negative scale",
    "g": "the guidance of a distilled model", "guidance_scale": "the guidance of a distilled model",
    "cn": "a ControlNet's image", "controlnet_image": "a ControlNet's image", "t": "image to image", "c": "another CLIP prompt",
    "f": "a file name", "ow": "SDXL's size condition", "oh": "SDXL's size condition", "ct": "SDXL's crop condition",
    "cl": "SDXL's crop condition", "fs": "the flow shift of another model",
}  # fmt: skip
_WHOLE = {"width": (64, 8192), "height": (64, 8192), "seed": (0, 2**64), "steps": (1, 1000)}
_LARGEST_SCALE = 1000.0
_TABLES = frozenset({".csv", ".tsv", ".yaml", ".yml", ".parquet", ".xlsx", ".html", ".md"})
_SYNTAX = {
    "a LoRA by name": re.compile(r"<\s*(?:lora|lyco|loha|lokr|hypernet)\s*:[^>]*>?", re.IGNORECASE),
    "a weight": re.compile(r"(?<!\\)\((?:[^()]|\([^()]*\))*:\s*[+-]?[\d.]+\s*\)|\(\([^()]*\)\)|\[\[[^\[\]]*\]\]"),
    "one text after another": re.compile(r"\[[^\[\]]*:\s*[\d.]+\s*\]"),
    "one of several texts": re.compile(r"\{[^{}]*\|[^{}]*\}|\[[^\[\]]*\|[^\[\]]*\]"),
    "a new window of tokens": re.compile(r"\bBREAK\b"),
}
_LONG_DASH = re.compile(r"(?:^|\s)[\u2012-\u2015]+(?P<name>[nwhdls])(?=\s)", re.IGNORECASE)
"""What word processors make of --."""
_ADVICE = {"a LoRA by name": "; give the file with --lora, which merges it at its full strength"}


def read_prompts(path: Path) -> list[Prompt]:
    """Return the prompts of a file. Raise UserError when there is none, or for the first with something not to be obeyed."""
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        raise UserError(f"{path} is no file of prompts; give text with one prompt a line, or sd-scripts' .toml or .json")
    entries = _ENTRIES.get(suffix, _lines)(path, _text(path))
    prompts = [_checked(path, place, entry) for place, entry in entries]
    if not prompts:
        raise UserError(f"{path} holds no prompt; write one a line")
    return prompts


def _text(path: Path) -> str:
    """Read text as captions are read: UTF-8, or UTF-16 with its mark; lines end as on any system."""
    try:
        return decode_text(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; name a file of prompts") from error


def check_text(text: str) -> None:
    """Raise UnusablePrompt for syntax of other tools, which would be drawn as words."""
    if fault := fault_of_text(text):
        raise UnusablePrompt(f"holds {fault}" if ";" in fault else f"holds {fault}; remove it")
    for what, pattern in _SYNTAX.items():
        if found := pattern.search(text):
            raise UnusablePrompt(
                f"asks by {found.group()!r} for {what}, which is not obeyed here{_ADVICE.get(what, '')}; remove it"
            )
    if found := re.search(r"(?:^|\s)--[A-Za-z]\w*", text):
        raise UnusablePrompt(f"has {found.group().strip()} in its text; give it as an option behind the prompt")
    if found := _LONG_DASH.search(text):
        raise UnusablePrompt(f"has {found.group().strip()} in its text, with a long dash; write --{found['name']}")


def _checked(path: Path, place: str, entry: Any) -> Prompt:
    try:
        prompt = _of_line(entry) if isinstance(entry, str) else _of_table(entry)
        for text in filter(None, (prompt.text, prompt.negative)):
            check_text(text)
    except UnusablePrompt as problem:
        raise UserError(f"{path}, {place}: {problem}") from problem
    return prompt


def _lines(path: Path, text: str) -> Iterator[tuple[str, str]]:
    """List (place, line) of prompts; a line that begins with # is a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"line {number}", line.strip()


def _toml(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        table = tomllib.loads(text).get("prompt")
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} cannot be read as TOML: {error}") from error
    if not isinstance(table, dict) or not isinstance(table.get("subset"), list):
        raise UserError(f"{path} has no [[prompt.subset]]; write one for each prompt, as for sd-scripts' --sample_prompts")
    shared = {key: value for key, value in table.items() if key != "subset"}
    for number, subset in enumerate(table["subset"], 1):
        yield f"prompt {number}", shared | subset if isinstance(subset, dict) else subset


def _json(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        entries = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(entries, list):
        raise UserError(f"{path} must hold a list of prompts, as for sd-scripts' --sample_prompts")
    for number, entry in enumerate(entries, 1):
        yield f"prompt {number}", entry


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """List the prompts of a chain (data/prompts.jsonl)."""
    for place, line in _lines(path, text):
        try:
            row = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, {place} cannot be read as JSON: {error}") from error
        yield (
            place,
            {key: value for key, value in row.items() if key not in ("index", "name")} if isinstance(row, dict) else row,
        )


_ENTRIES: dict[str, Callable[[Path, str], Iterator[tuple[str, Any]]]] = {".toml": _toml, ".json": _json, ".jsonl": _json_lines}


def _of_line(line: str) -> Prompt:
    """Return a prompt with options. Raise UnusablePrompt as for its values, and for an option that is not obeyed."""
    text, *options = re.split(r" --", line)
    if not text.strip() or text.startswith("--"):
        raise UnusablePrompt("begins with an option; write the prompt first")
    values: dict[str, Any] = {}
    for option in options:
        name, _, value = option.partition(" ")
        field = _OPTIONS.get(name.lower())
        if field is None:
            raise UnusablePrompt(_refusal(f"--{name}", name.lower(), _OPTIONS, "--"))
        values[field] = _value(f"--{name}", field, value.strip())
    return Prompt(text.strip(), **values)


def _of_table(entry: Any) -> Prompt:
    """Return a prompt of TOML or JSON. Raise UnusablePrompt as for its values, and for a key that is not obeyed."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("prompt"), str) or not entry["prompt"].strip():
        raise UnusablePrompt("there is no prompt; write its text under prompt")
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in _KEYS:
            raise UnusablePrompt(_refusal(key, key, _KEYS, ""))
        values[_KEYS[key]] = _value(key, _KEYS[key], value)
    return Prompt(**values)


def _refusal(shown: str, name: str, known: Mapping[str, str], mark: str) -> str:
    what = f" ({_NOT_OBEYED[name]})" if name in _NOT_OBEYED else ""
    return f"asks for {shown}{what}, which is not obeyed here; remove it (obeyed: {', '.join(mark + key for key in known)})"


def _value(name: str, field: str, value: Any) -> Any:
    """Return the value of an option or key. Raise UnusablePrompt for one that is none."""
    if field in ("text", "negative"):
        if not isinstance(value, str):
            raise UnusablePrompt(f"{name} must be text, got {short_repr(value)}")
        return value.strip()
    if isinstance(value, str) and (field == "cfg" or value.isdecimal()):
        with suppress(ValueError):
            value = float(value) if field == "cfg" else int(value)
    if field == "cfg":
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LARGEST_SCALE:
            return float(value)
        raise UnusablePrompt(f"{name} must be a guidance scale from 0 to {_LARGEST_SCALE:g}, got {short_repr(value)}")
    least, most = _WHOLE[field]
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise UnusablePrompt(f"{name} must be a whole number from {least} to {most}, got {short_repr(value)}")
