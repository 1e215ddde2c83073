"""What is wrong with somebody's own sd-scripts settings, said before anything is loaded or trained."""

from __future__ import annotations

import argparse
import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.guards import short_repr
from pipeline.core.tensors import read_header
from pipeline.core.weights import is_pickle, refused_weights
from pipeline.diffusion import lora as lora_files
from pipeline.diffusion.families import FAMILIES, ModelFamily
from pipeline.diffusion.judgement.lora_family import family_by_names
from pipeline.diffusion.judgement.recognise import require_model
from pipeline.diffusion.judgement.usable import require_usable
from pipeline.inputs.base_models.single_file import single_file_kind
from pipeline.train.config import MIXED_PRECISION
from pipeline.train.kohya.hooks import BYPASSED

_NEEDED = {
    "pretrained_model_name_or_path": "the base model, a folder or a .safetensors file",
    "network_module": 'what is trained, "networks.lora" for a LoRA',
    "output_dir": "the folder for the LoRA",
}
_FILES = ("vae", "dataset_config", "train_data_dir", "reg_data_dir", "in_json", "network_weights", "sample_prompts", "resume")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(?<!\.safetensors)(?<!\.ckpt)")
_OTHER_TARGETS = ("v2", "v_parameterization", "zero_terminal_snr")
_BYPASSES = ("weighted_captions", "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")
_PAIRS = ("network_args", "optimizer_args", "lr_scheduler_args")
_DROPOUTS = ("caption_dropout_rate", "caption_dropout_every_n_epochs")


def read_settings(content: bytes, loads: Any, config: Path) -> dict[str, Any]:
    """Return a config TOML's keys without its sections, as sd-scripts takes them. Raise UserError when it is no UTF-8 TOML."""
    if content.startswith(codecs.BOM_UTF8):
        raise UserError(f"{config} begins with a byte order mark, which sd-scripts cannot read; save it as UTF-8 without BOM")
    try:
        values = loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{config} is not UTF-8, which sd-scripts reads; save it as UTF-8") from error
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise UserError(f"{config} cannot be read as TOML: {' '.join(str(error).split())}") from error
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, dict) else {name: value}
    if "condition_drop" in flat:
        raise UserError(
            f"{config} sets condition_drop, which sd-scripts does not know; give --condition-drop on the command line"
        )
    return flat


def oddities(settings: Mapping[str, Any], parser: argparse.ArgumentParser) -> Iterator[str]:
    """Describe keys that sd-scripts ignores in silence, and values of another type than its command line would give them."""
    actions = {action.dest: action for action in parser._actions}
    for key, value in settings.items():
        if key not in actions:
            yield f"{key} is no setting of sd-scripts, which ignores it"
        elif expected := _mistyped(actions[key], value):
            yield f"{key} is {short_repr(value)}, where sd-scripts takes {expected}"


def _mistyped(action: argparse.Action, value: Any) -> str | None:
    """Return what `value` should be; None where it is that."""
    if action.choices is not None and value not in action.choices:
        return f"one of {', '.join(str(choice) for choice in action.choices)}"
    if action.nargs == 0:
        return None if isinstance(value, bool) else "true or false"
    if action.nargs in ("*", "+"):
        return None if isinstance(value, list | int | float) else "a list"
    if action.type is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if action.type is float:
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    # A function of sd-scripts' own takes what it takes.
    return None if isinstance(value, str) or action.type not in (None, str) else "text in quotes"


def check(args: argparse.Namespace, config: Path, device: str) -> ModelFamily:
    """Return the family of the model that sd-scripts' settings name. Raise UserError for settings that give no LoRA."""
    for key, what in _NEEDED.items():
        if not getattr(args, key, None):
            raise UserError(f"{config} names no {key} ({what}); add it there, or give --{key}")
    if not (args.dataset_config or args.train_data_dir or args.dataset_class):
        raise UserError(f"{config} names neither dataset_config nor train_data_dir; add one of them, or give it as an option")
    for key in _FILES:
        if value := getattr(args, key, None):
            _check_path(key, str(value), config)
    for path in (args.vae, args.network_weights, *(args.base_weights or [])):
        if path and Path(path).is_file() and is_pickle(Path(path)):
            raise refused_weights(Path(path), ValueError())
    vae = str(args.vae) if args.vae and Path(args.vae).is_dir() else None
    family = family_of_checkpoint(str(args.pretrained_model_name_or_path), vae, config)
    if args.network_weights and args.network_module == "networks.lora":
        _check_names(Path(args.network_weights), family, config)
    for key in _OTHER_TARGETS:
        if getattr(args, key, None):
            raise UserError(f"{config} sets {key}, and {args.pretrained_model_name_or_path} is none of that kind; remove {key}")
    _check_pairs(args, config)
    if args.resume and Path(args.resume).exists() and not (Path(args.resume) / "random_states_0.pkl").is_file():
        raise UserError(f"resume in {config} is {args.resume}, which holds no saved state; name a folder that save_state wrote")
    precisions = [MIXED_PRECISION[name] for name in family.sd_scripts_cpu_precisions]
    if device == "cpu" and args.mixed_precision not in precisions:
        what = f"{family.layout.name} with mixed_precision {args.mixed_precision} on a CPU"
        raise UserError(f'sd-scripts trains no {what}; set mixed_precision = "{precisions[0]}" in {config}')
    return family


def _check_names(weights: Path, family: ModelFamily, config: Path) -> None:
    """Raise UserError for layers that kohya or the model names otherwise: sd-scripts would leave them out without a word."""
    if not weights.is_file() or not any(key.startswith(("lora_unet_", "lora_te")) for key in read_header(weights)):
        raise UserError(f"network_weights in {config} is {weights}, which is no LoRA with kohya's layer names; name one")
    other = family_by_names(lora_files.read(weights))
    if other not in (None, family.layout.name):
        raise UserError(
            f"network_weights in {config} is {weights}, a LoRA of {other}, and the model is {family.layout.name}; "
            "name one that was made for it"
        )


def _check_pairs(args: argparse.Namespace, config: Path) -> None:
    for key in _PAIRS:
        for pair in getattr(args, key, None) or ():
            if "=" not in str(pair):
                raise UserError(f'{key} in {config} holds {short_repr(pair)}; write it as "name=value"')


def _check_path(key: str, value: str, config: Path) -> None:
    """Raise UserError for a path that is not there from the current folder, which sd-scripts takes paths from."""
    if Path(value).exists() or (key == "vae" and _HUB_ID.fullmatch(value)) or (key == "resume" and ":" in value):
        return
    raise UserError(f"{key} in {config} is {value}, and there is no such file or folder; {_from_where(value, config)}")


def _from_where(value: str, config: Path) -> str:
    here = Path.cwd()
    if not Path(value).is_absolute() and (config.resolve().parent / value).exists():
        return f"paths in it count from the current folder, {here}: run the command in {config.resolve().parent}"
    return f"paths in it count from the current folder, {here}; correct the path, or run the command in its folder"


def check_condition_drop(args: argparse.Namespace, parser: argparse.ArgumentParser, config: Path, probability: float) -> None:
    """Raise UserError where sd-scripts would bypass condition drop; what the family's script ignores bypasses nothing."""
    known = vars(parser.parse_args([]))
    for key in _BYPASSES:
        if probability and key in known and getattr(args, key, None):
            raise UserError(f"{config} sets {key}: {BYPASSED}; remove {key}, or leave out --condition-drop")


def family_of_checkpoint(model: str, vae: str | None, config: Path) -> ModelFamily:
    """Return the family of a folder in diffusers layout, with a VAE of another if given, or of a single file.

    Raise UserError, as everywhere that takes a model, for one that is not known to be trained right.
    """
    path = Path(model)
    if not path.exists():
        advice = _from_where(model, config)
        if _HUB_ID.fullmatch(model):
            advice = f"bring it here with 'redifine base fetch {model}', and name the folder that it prints"
        raise UserError(f"pretrained_model_name_or_path is {model}, which is not here; {advice}")
    if path.is_dir():
        kind = _known(require_model(path, model).kind, model)
        require_usable(path, vae)
        return FAMILIES[kind]
    if is_pickle(path):
        raise refused_weights(path, ValueError())
    return FAMILIES[_known(single_file_kind(path, read_header(path)), model)]


def _known(kind: str, model: str) -> str:
    if kind not in FAMILIES:
        raise UserError(f"{model} is a {kind}, and finetuning needs a whole model; name one in pretrained_model_name_or_path")
    return kind


def notes(args: argparse.Namespace, dataset: Mapping[str, Any], condition_drop: float) -> Iterator[str]:
    """Describe what is not as it seems: logs that nobody writes, and sd-scripts' own ways to empty captions beside ours."""
    if args.logging_dir and args.log_with in (None, "tensorboard") and not _installed("tensorboard", "tensorboardX"):
        yield f"logging_dir is {args.logging_dir}, and nothing will be logged: 'pip install tensorboard' first"
    if not condition_drop:
        return
    given = [*_values(dataset), *vars(args).items()]
    for key in _DROPOUTS:
        values = sorted({value for name, value in given if name == key and isinstance(value, int | float) and value})
        for value in values:
            share = (
                f": {1 - (1 - value) * (1 - condition_drop):.0%} of the samples in all" if value <= 1 and "rate" in key else ""
            )
            yield f"{key} {value:g} empties captions, too, beside --condition-drop {condition_drop:g}{share}"


def _installed(*packages: str) -> bool:
    return any(find_spec(package) is not None for package in packages)


def dataset_files(dataset: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """List (key, path) of the folders and files that a dataset config names."""
    for key, value in _values(dataset):
        if key in ("image_dir", "metadata_file", "conditioning_data_dir") and isinstance(value, str):
            yield key, value


def check_dataset_files(dataset: Mapping[str, Any], config: Path) -> None:
    """Raise UserError for the first that is not there: sd-scripts would leave its subset out."""
    for key, value in dataset_files(dataset):
        _check_path(key, value, config)


def _values(node: Any) -> Iterator[tuple[str, Any]]:
    """List all (key, value) in nested tables."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key), value
            yield from _values(value)
    elif isinstance(node, Iterable) and not isinstance(node, str | bytes):
        for value in node:
            yield from _values(value)
