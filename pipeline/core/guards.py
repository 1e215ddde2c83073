"""Check text and paths from files that others made: what cannot be stored or shown, and what leaves its folder."""

from __future__ import annotations

import reprlib
from pathlib import PurePosixPath
from typing import Any

_LONGEST_SHOWN = 120
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that show nothing, and let a text be read in another order than a model gets it in."""
_REPLACEMENT_CHARACTER = "\ufffd"
"""What decoders put where bytes were no text: a letter is lost."""


def short_repr(value: Any) -> str:
    """Return a value from a file as text, short enough for a sentence however it nests."""
    found = reprlib.repr(value)
    return found if len(found) <= _LONGEST_SHOWN else f"{found[:_LONGEST_SHOWN]}..."


def fault_of_text(text: str) -> str | None:
    """Return what keeps a caption, prompt or parameter from being stored and shown as it is; None when nothing does.

    Tab and line breaks are no fault: they count as spaces.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"U+{ord(text[error.start]):04X} at position {error.start + 1}, which no UTF-8 text can hold"
    for place, character in enumerate(text, 1):
        if (character < " " or "\x7f" <= character <= "\x9f") and not character.isspace():
            return f"the control character U+{ord(character):04X} at position {place}"
        if character in _BIDI_CONTROLS:
            return f"the invisible character U+{ord(character):04X} at position {place}, which turns text around"
        if character == _REPLACEMENT_CHARACTER:
            return f"U+FFFD at position {place}: a character was lost in a wrong encoding; write it again, in UTF-8"
    return None


def is_file_name(value: str) -> bool:
    """Tell whether `value` names a file in a folder, and not another folder's."""
    return value not in ("", ".", "..") and not any(character in value for character in "/\\\0")


def is_inner_path(value: str) -> bool:
    """Tell whether `value` is a path below the folder that it is relative to, and stays there."""
    parts = PurePosixPath(value).parts
    return bool(parts) and not value.startswith("/") and ".." not in parts and not any(c in value for c in "\\\0")
