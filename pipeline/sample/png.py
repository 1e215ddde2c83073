"""An image's lineage as the "parameters" text of its PNG, in the form that LoRA users' tools (A1111 and kin) read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.diffusion.lora import LoraFile
    from pipeline.sample.sampler import SampleSettings

KEY = "parameters"
"""The text chunk's keyword."""

_FIELD = re.compile(r'\s*([\w][\w \-/]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_EXACT = "Exact prompt"


@dataclass(frozen=True)
class ImageLineage:
    """What made all images of one D_k."""

    base: str
    """M_0's name, for people."""
    base_hash: str
    lora: LoraFile | None
    """M_k's; None where no LoRA was merged."""
    cfg: float
    settings: SampleSettings
    k: int | None = None

    def fields(self, prompt_index: int, image_index: int, seed: int) -> dict[str, str]:
        """Return {name: value} in the order in which they are written; hashes short, as tools show them, and in full."""
        fields = {
            "Steps": str(self.settings.steps),
            "Sampler": self.settings.noise.sampler_name,
            "CFG scale": f"{self.cfg:g}",
            "Seed": str(seed),
            "Size": f"{self.settings.width}x{self.settings.height}",
            "Model hash": self.base_hash[:10],
            "Model": self.base,
            "Clip skip": str(self.settings.clip_skip),
        }
        if self.settings.negative:
            fields["Negative prompt"] = self.settings.negative
        if self.lora is not None:
            hashes = f"{self.lora.name}: {self.lora.tensors_sha256[:12]}"
            fields |= {"Lora hashes": hashes, "Lora sha256": self.lora.sha256}
        if self.k is not None:
            fields["Iteration"] = str(self.k)
        return fields | {
            "Prompt index": str(prompt_index),
            "Image index": str(image_index),
            "Schedule": self.settings.schedule.describe(),
            "Model sha256": self.base_hash,
        }


def format_parameters(prompt: str, fields: Mapping[str, str]) -> str:
    """Return the prompt on line 1, the fields on line 2; a prompt that does not fit one line is also a field, quoted."""
    line = _one_line(prompt)
    values = [f"{name}: {_quote(value)}" for name, value in fields.items()]
    if line != prompt:
        values.append(f"{_EXACT}: {json.dumps(prompt)}")
    return f"{line}\n{', '.join(values)}"


def parse_parameters(text: str) -> dict[str, str]:
    """Return the inverse of `format_parameters`: every field, and the prompt under "Prompt"."""
    line, _, rest = text.partition("\n")
    fields = {name: _unquote(value) for name, value in _FIELD.findall(rest)}
    return {"Prompt": fields.pop(_EXACT, line), **fields}


def _one_line(prompt: str) -> str:
    """Turn line breaks of any alphabet, control characters and what UTF-8 cannot hold into spaces."""
    return "".join(" " if not c.isprintable() and c != " " else c for c in prompt)


def _quote(value: str) -> str:
    """Quote where a reader would otherwise end the value too early."""
    plain = value.isprintable() and value == value.strip() and not any(c in value for c in ',:"\\')
    return value if plain else json.dumps(value)


def _unquote(value: str) -> str:
    return json.loads(value) if value.startswith('"') else value
