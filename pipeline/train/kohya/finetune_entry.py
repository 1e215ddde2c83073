"""The process that trains on somebody's own settings: the script of the model's family, unmodified, with condition drop.

Run with sd-scripts on PYTHONPATH and sd-scripts' options; ours come in one environment variable, the outcome goes to a file.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before sd-scripts imports torchvision)

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from pipeline.core.errors import INTERRUPTED, UserError, disk_sentence, is_out_of_memory
from pipeline.core.json_files import write_json
from pipeline.core.process import die_with_parent
from pipeline.diffusion.families import FAMILIES, ModelFamily
from pipeline.inputs.base_models.tokenizers import lay_out_for_sd_scripts
from pipeline.train.kohya import finetune_checks as checks
from pipeline.train.kohya.finetune_outcome import failed, no_data, one_line, outcome_of
from pipeline.train.kohya.hooks import Rank, with_condition_drop

_VARIABLE = "REDIFINE_FINETUNE"
_LESS_MEMORY = (
    "set gradient_checkpointing = true (the same result, slower), cache_latents = true, "
    "mixed_precision to bf16 or fp16, or train_batch_size lower"
)


@dataclass(frozen=True)
class Task:
    """What the process is told. `config`: the user's TOML; `folder`: where the outcome and laid out tokenizers go."""

    config: str
    condition_drop: float
    device: str
    folder: str

    def to_environment(self) -> dict[str, str]:
        return {_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Task:
        return cls(**json.loads(environment[_VARIABLE]))

    @property
    def outcome(self) -> Path:
        """JSON: {"error": sentence}, or what `outcome_of` returns."""
        return Path(self.folder) / "outcome.json"


def run(task: Task) -> None:
    """Train as the settings say. Raise UserError for settings that cannot come to a LoRA, and when there is none at the end."""
    import toml
    from library import train_util

    *_, largest = FAMILIES.values()
    # The family is not known before the settings are read, and SDXL's script takes all options of the other.
    parser = _parser(largest, "the options of sd-scripts")
    given = parser.parse_args()
    config = Path(task.config)
    if Path(given.config_file) != config:
        raise UserError(f"the options name another config file, {given.config_file}, beside {config}; give one config file")
    settings = checks.read_settings(config.read_bytes(), toml.loads, config)
    args = parser.parse_args(namespace=argparse.Namespace(**settings))
    family = checks.check(args, config, task.device)
    dataset = _dataset(args)
    checks.check_dataset_files(dataset, Path(args.dataset_config or config))
    parser = _parser(family, f"the options of sd-scripts' {family.sd_scripts.SCRIPT}.py")
    checks.check_condition_drop(args, parser, config, task.condition_drop)
    odd = list(checks.oddities(settings, parser))
    if Rank(os.environ).number == 0:
        for line in [*odd, *checks.notes(args, dataset, task.condition_drop)]:
            print(f"Note: {line}", file=sys.stderr, flush=True)
    train_util.verify_command_line_training_args(given)
    args = train_util.read_config_from_file(parser.parse_args(), parser)
    try:
        _train(args, family, task)
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or (isinstance(error, OSError) and _refused_by_disk(error)):
            raise
        raise failed(error, args, dataset, odd) from error


def _parser(family: ModelFamily, name: str) -> argparse.ArgumentParser:
    """Return the options of a family's script, whose mistakes are UserErrors that begin with `name`."""
    parser: argparse.ArgumentParser = importlib.import_module(family.sd_scripts.SCRIPT).setup_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{name}: {message}")

    parser.error = refuse  # type: ignore[method-assign]
    return parser


def _dataset(args: argparse.Namespace) -> dict[str, Any]:
    """Return the dataset config, {} where there is none. Raise UserError when it cannot be read."""
    from library import config_util

    if not args.dataset_config:
        return {}
    try:
        found: dict[str, Any] = config_util.load_user_config(args.dataset_config)
    except Exception as error:
        raise UserError(f"{args.dataset_config} cannot be read: {one_line(str(error))}") from error
    return found


def _train(args: argparse.Namespace, family: ModelFamily, task: Task) -> None:
    adapter, named = family.sd_scripts, argparse.Namespace(**vars(args))
    script = importlib.import_module(adapter.SCRIPT)
    model = Path(args.pretrained_model_name_or_path)
    if model.is_symlink() and not Path(os.readlink(model)).exists():
        # sd-scripts takes the link's target from the current folder.
        args.pretrained_model_name_or_path = str(model.resolve())
    adapter.set_sizes(args.pretrained_model_name_or_path)
    if model.is_dir() and not args.tokenizer_cache_dir:
        # The model's own: sd-scripts would ask the hub for CLIP's.
        args.tokenizer_cache_dir = str(lay_out_for_sd_scripts(model, Path(task.folder)))
    plain = getattr(script, adapter.TRAINER)
    if Path(args.output_dir).is_file():
        raise UserError(f"output_dir is {args.output_dir}, which is a file; name a folder")
    lora = Path(args.output_dir) / f"{args.output_name or 'last'}.{args.save_model_as or 'safetensors'}"
    before = lora.stat().st_mtime_ns if lora.is_file() else None
    with_condition_drop(plain, task.condition_drop)().train(args)
    if Rank(os.environ).number or args.debug_dataset:
        return
    if not lora.is_file() or lora.stat().st_mtime_ns == before:
        raise UserError(f"sd-scripts ended without an error, but wrote no {lora}: {no_data(args)}")
    write_json(task.outcome, outcome_of(lora, named, family))


def _refused_by_disk(error: OSError) -> str | None:
    """Return a sentence on permissions or a full disk; None for a file that is not there, which is sd-scripts' to name."""
    return None if isinstance(error, FileNotFoundError) else disk_sentence(error)


def main() -> None:
    die_with_parent()
    task = Task.from_environment(os.environ)
    try:
        run(task)
        return
    except UserError as error:
        sentence = str(error)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        sentence = _refused_by_disk(error) or f"sd-scripts failed: {one_line(str(error))}"
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sentence = f"out of memory in a training step; {_LESS_MEMORY}"
    write_json(task.outcome, {"error": sentence})
    sys.exit(2)


if __name__ == "__main__":
    main()
