"""How the config of one part of a model is judged: each key may be one of few values, or a size; the rest is asked about.

A key that a config lacks means the library's default. A key that the library does not know may only be null or false.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class PartRules:
    """The rules for one part's config."""

    file: str
    """The config's name below the model's folder."""
    classes: frozenset[str]
    """What `_class_name` may be."""
    defaults: Config
    """What a missing key means to the library, for each key that must be one of few values, and for some sizes."""
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """{key: what it may be}; a key of `defaults` that is not here may be the default alone."""
    sizes: frozenset[str] = frozenset()
    """Keys that any whole number above 0 may be: the library builds what they say, and the weights must fit."""
    lists: frozenset[str] = frozenset()
    """Sizes that may be, and for `block_out_channels` must be, lists of such numbers."""
    ignored: frozenset[str] = frozenset()
    """Keys that change neither what the network computes nor what it was trained for."""

    def fault(self, config: Config) -> str | None:
        """Tell the first thing in a config that is not known to be right; None when all is."""
        name = config.get("_class_name")
        if "_class_name" in config and name not in sorted(self.classes):
            return f"a model whose {self.file} is for {shown(name)}, not {_either(sorted(self.classes))}"
        if names := config.get("_use_default_values"):
            return f"a model whose {self.file} says that its values are not meant (_use_default_values: {shown(names)})"
        for key in sorted({*config, *self.defaults}):
            if not key.startswith("_") and key not in self.ignored and (found := self._fault_of(key, config)):
                return found
        return None

    def meant(self, config: Config, key: str) -> Any:
        """Return what a config means by a key of `defaults`, whether it says so or not."""
        return config.get(key, self.defaults[key])

    def _fault_of(self, key: str, config: Config) -> str | None:
        if key == "eos_token_id":
            # By it the text encoder finds a prompt's end.
            plain = key not in config or (isinstance(config[key], int) and not isinstance(config[key], bool))
            return None if plain else f"a model whose {self.file} says {key}: {shown(config[key])}, which is no token"
        if key in self.sizes:
            if key not in config or _is_size(config[key], key in self.lists, key == "block_out_channels"):
                return None
            return f"a model whose {self.file} says {key}: {shown(config[key])}, which is no size"
        if key not in self.defaults:
            if config[key] is None or config[key] is False:
                return None
            asked = "and it is not known here what that means (take the line out if the model is right without it)"
            return f"a model whose {self.file} says {key}: {shown(config[key])}, {asked}"
        allowed = self.values.get(key, (self.defaults[key],))
        value = self.meant(config, key)
        if any(_same(value, one) for one in allowed):
            return None
        said = "says" if key in config else "does not say otherwise than"
        return f"a model whose {self.file} {said} {key}: {shown(value)}, not {_either(map(shown, allowed))}"


def _is_size(value: Any, may_be_list: bool, must_be_list: bool) -> bool:
    if isinstance(value, list | tuple):
        return may_be_list and bool(value) and all(_is_size(one, False, False) for one in value)
    return not must_be_list and isinstance(value, int) and not isinstance(value, bool) and value > 0


def _same(one: Any, other: Any) -> bool:
    if one is None or one is False:
        return other is None or other is False
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(other, int) and isinstance(one, float):
        return False  # the library would count with it
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return bool(one == other)


def shown(value: Any) -> str:
    """Return a config's value as a message says it."""
    plain = ", ".join(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value
    text = plain if isinstance(plain, str) and not _is_json(plain) else json.dumps(plain)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_json(text: str) -> bool:
    """Tell whether text reads as a number, true or the like, so that only quotes tell it from one."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
