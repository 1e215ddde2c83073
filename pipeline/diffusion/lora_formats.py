"""The keys of LoRA files, in every format that people have: kohya's, LoCon's, diffusers' old and new, PEFT's.

A key is a layer's name and which half of its change the tensor is. Names are compared with _ for each dot, as kohya writes
them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.core.errors import UserError
from pipeline.core.json_files import parse_json

Half = Literal["down", "up", "alpha"]

_ENDS = re.compile(
    r"(?P<layer>.+?)"
    r"(?:\.lora_(?P<kohya>down|up)\.weight"
    r"|[._]lora\.(?P<old>down|up)\.weight"
    r"|\.lora_linear_layer\.(?P<text>down|up)\.weight"
    r"|\.lora_(?P<peft>[AB])(?:\.\w+)?\.weight"
    r"|\.(?P<alpha>alpha))"
)
# A mark with / stands at a key's end.
_OTHER_KINDS = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "lora_mid": "LoCon in Tucker form",
    "oft_": "OFT",
    "on_input": "(IA)^3",
    ".diff/": "full change of weights",
    ".diff_b/": "full change of weights",
    "w_norm": "change of norms",
    "b_norm": "change of norms",
    ".scalar": "LyCORIS with scalars",
    ".bias": "LoRA with biases",
    "bundle_emb": "LoRA with embeddings inside",
    "emb_params": "textual inversion",
    ".a1.weight": "GLoRA",
    ".b1.weight": "GLoRA",
}
PEFT_PREFIX = "base_model.model."
_PEFT_CONFIG = "adapter_config.json"
_METADATA = "lora_adapter_metadata"
_USUAL_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""Values of init_lora_weights that leave the model alone; PiSSA's kind takes from its weights what the LoRA starts with."""
_HARMLESS = frozenset(
    {"alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "corda_config", "ensure_weight_tying", "eva_config",
     "exclude_modules", "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "loftq_config",
     "lora_alpha", "lora_dropout", "megatron_config", "megatron_core", "modules_to_save", "peft_type", "peft_version",
     "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules", "task_type",
     "trainable_token_indices", "use_rslora"}
)  # fmt: skip
"""PEFT's settings that are read here, or that its tensors show, or that matter in training alone."""
_OLD_TEXT_LAYERS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


def split_key(key: str, path: Path) -> tuple[str, Half]:
    """Return (layer with dots as they are, half). Raise UserError for what is no plain LoRA, by its name."""
    found = _ENDS.fullmatch(key)
    if found is None:
        kind = next((kind for mark, kind in _OTHER_KINDS.items() if mark in f"{key}/"), None)
        what = f"is a {kind} (it has {key!r})" if kind else f"holds {key!r}, which is no key of a LoRA"
        raise UserError(f"{path} {what}; use a plain LoRA, or a LoCon")
    layer = re.sub(r"\.processor\.(to_\w+)$", r".\1", found["layer"])
    if found["old"] and ".self_attn." in layer:
        start, _, last = layer.rpartition(".")
        layer = f"{start}.{_OLD_TEXT_LAYERS.get(last, last)}"
    elif layer.endswith(".to_out"):
        layer += ".0"
    if found["alpha"]:
        return layer, "alpha"
    named = found["kohya"] or found["old"] or found["text"] or {"A": "down", "B": "up"}[found["peft"]]
    return layer, "down" if named == "down" else "up"


@dataclass(frozen=True)
class Scales:
    """What a file says, apart from its tensors, of how large the layers' changes are."""

    alpha: float
    patterns: Mapping[str, float]
    by_root: bool
    """rsLoRA: the change is divided by the rank's root."""

    def alpha_of(self, layer: str, rank: int) -> float:
        """Return alpha of a layer, as it is divided by the rank."""
        alpha = next((value for key, value in self.patterns.items() if re.fullmatch(rf"(.*\.)?({key})", layer)), self.alpha)
        return alpha * rank**0.5 if self.by_root else alpha


def read_scales(path: Path, metadata: Mapping[str, str], peft: bool) -> dict[str, Scales]:
    """Return {how the names of layers begin: their scales} of a file of diffusers' or PEFT's; {} when it says nothing.

    Raise UserError when what it says cannot be read, or a PEFT adapter has no adapter_config.json beside it.
    """
    if peft:
        config = path.with_name(_PEFT_CONFIG)
        if not config.is_file():
            raise UserError(f"{path} was saved by PEFT, which keeps its scale in {_PEFT_CONFIG}; put that file beside it")
        return {"": _scales(_parsed(config.read_text(encoding="utf-8"), config), config)}
    if _METADATA not in metadata:
        return {}
    said = _parsed(metadata[_METADATA], path)
    values: dict[str, dict[str, Any]] = {}
    for key, value in said.items():
        part, _, setting = key.partition(".")
        values.setdefault(f"{part}.", {})[setting] = value
    return {start: _scales(found, path) for start, found in values.items()}


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        found = parse_json(text)
        if isinstance(found, dict):
            return found
    except (ValueError, RecursionError):
        pass
    raise UserError(f"{path} has no readable settings of its LoRA; get it again")


def _scales(config: Mapping[str, Any], path: Path) -> Scales:
    for switch, kind in (("use_dora", "DoRA"), ("lora_bias", "LoRA with biases"), ("fan_in_fan_out", "transposed LoRA")):
        if config.get(switch):
            raise UserError(f"{path} is a {kind} ({switch} in its settings); use a plain LoRA, or a LoCon")
    if str(kind := config.get("peft_type") or "LORA").upper() != "LORA":
        raise UserError(f"{path} is of an adapter of another kind (peft_type: {kind}); use a plain LoRA, or a LoCon")
    if str(start := config.get("init_lora_weights")).lower() not in [str(usual).lower() for usual in _USUAL_STARTS]:
        raise UserError(
            f"{path} is of a LoRA beside a changed model (init_lora_weights: {start}); "
            "save it again as a plain LoRA, with path_initial_model_for_weight_conversion of PEFT's save_pretrained"
        )
    if odd := sorted(key for key in config.keys() - _HARMLESS if config[key]):
        raise UserError(f"{path} says {odd[0]}: {json.dumps(config[odd[0]])}, which is not known here; use a plain LoRA")
    try:
        patterns = {str(key): float(value) for key, value in (config.get("alpha_pattern") or {}).items()}
        return Scales(float(config["lora_alpha"]), patterns, bool(config.get("use_rslora")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} does not say lora_alpha as a number ({json.dumps(str(error))}); get it again") from error
