"""params.yaml written by an enemy, or by hand in haste."""

from __future__ import annotations

from hostile.corpus.row import Bring, Refused, Row, files
from hostile.workplace import Workplace

NINE = ",".join(["*{0}"] * 9)
GROWING = [f"{b}: &{b} [{NINE.format(a)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
ALIASES = "\n".join([f"a: &a [{'x,' * 9}]", *GROWING, ""]).encode()
"""A list of nine lists of nine lists ...: 387 million words in 300 bytes."""

FILES: dict[str, tuple[bytes, str]] = {
    "no YAML": (b"cfg: [", "params.yaml cannot be read as YAML"),
    "Latin-1": (b"title: caf\xe9\n", "params.yaml cannot be read as YAML"),
    "NUL": (b"title: a\0b\n", "params.yaml cannot be read as YAML"),
    "a list": (b"- cfg\n", "params.yaml must hold 'key: value' lines"),
    "nothing": (b"", "params.yaml must hold 'key: value' lines"),
    "a Python object": (b"title: !!python/object/apply:os.system ['touch owned']\n", "params.yaml cannot be read as YAML"),
    "the same key twice": (b"cfg: 1.0\ncfg: 2.0\n", "params.yaml cannot be read as YAML"),
    "a date that is none": (b"seed: 2024-99-99\n", "params.yaml cannot be read as YAML"),
    "a number of 10,000 digits": (b"seed: " + b"9" * 10_000 + b"\n", "params.yaml cannot be read as YAML"),
    "nested 20,000 deep": (b"title: " + b"[" * 20_000 + b"\n", "params.yaml cannot be read as YAML"),
    "aliases that grow": (ALIASES, "unknown key 'a'"),
    "an alias of itself": (b"title: &t [*t]\n", "title must be text"),
}  # fmt: skip

VALUES: dict[str, tuple[str, str]] = {
    "not a number": ("cfg: .nan", "cfg must be a finite number"),
    "infinity": ("unet_lr: .inf", "unet_lr must be a finite number"),
    "below zero": ("seed: -1", "seed must be >= 0, got -1"),
    "true for a number": ("steps: true", "steps must be a whole number, got True"),
    "text for a number": ("cfg: '7.5; rm -rf ~'", "cfg must be a number, got '7.5; rm -rf ~'"),
    "a fraction of an image": ("batch_size: 1.5", "batch_size must be a whole number, got 1.5"),
    "an unknown key": ("cgf: 1.0", "unknown key 'cgf' (did you mean 'cfg'?)"),
    "a path with NUL": ('model: "models\\0base"', "holds the control character U+0000 at position 7; remove it"),
    "a path that clears the screen": ('folder: "\\e[2Jdata"', "holds the control character U+001B at position 1"),
    "half of a surrogate pair": ('title: "\\ud800"', "U+D800 at position 1, which no UTF-8 text can hold"),
    "a shell line for an iteration": ('iterations: {"1; touch owned": {prev: 0}}', "iterations must count"),
    "an iteration that skips": ('iterations: {"1": {prev: 0}, "3": {prev: 2}}', "iterations must count"),
    "iterations as numbers": ("iterations: {1: {prev: 0}}", "the keys of iterations must be in quotes"),
}  # fmt: skip


def _line(line: str) -> Bring:
    """Put a line into params.yaml in the place of the key's own."""

    def bring(place: Workplace) -> None:
        lines = (place.root / "params.yaml").read_text().splitlines()
        kept = [other for other in lines if not other.startswith(line.partition(":")[0] + ":")]
        (place.root / "params.yaml").write_text("\n".join([*kept, line, ""]))

    return bring


ROWS = [
    Row(f"params.yaml: {name}", files({"params.yaml": content}, ""), Refused(said)) for name, (content, said) in FILES.items()
]
ROWS += [Row(f"params.yaml: {name}", _line(line), Refused(said)) for name, (line, said) in VALUES.items()]
