"""A raw data set -> captions, D_0 and P in one go: what `redifine caption` and the stage prepare do one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.chain import params as parameters
from pipeline.chain import presets
from pipeline.chain.params import Params, View
from pipeline.chain.paths import Layout
from pipeline.cli.captions import caption_set
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl
from pipeline.inputs.base_models.completeness import require_usable
from pipeline.inputs.datasets.catalogue import dataset
from pipeline.inputs.missing import missing_inputs
from pipeline.prepare import stage


def into_chain(raw: Path, options: dict[str, Any], tell: Callable[[str], object]) -> int:
    """Caption the raw set, point params.yaml at it and write D_0, P and M_0's record; returns the number of images.

    `options` are those of `redifine caption`. Raises UserError as both do; params.yaml is written between them.
    """
    params = parameters.load()
    # Before the hours that captions take, not after them.
    for sentence in missing_inputs({"model": params.model, "vae": params.vae}, Path()):
        raise UserError(sentence)
    require_usable(params.model, params.vae)
    chosen = with_defaults(options, params)
    caption_set(raw, chosen)
    folder = chosen["out"] or raw
    values: dict[str, Any] = {"dataset": "folder", "folder": folder.as_posix(), "prompts": None, "prompt_form": "full"}
    if options["strict"] is not None:
        values["strict"] = options["strict"]
    for line in presets.describe_changes(presets.assign(values)):
        tell(line)
    layout = Layout()
    stage.run(View(parameters.load(), "prepare"), layout)
    return len(read_jsonl(layout.prompts))


def with_defaults(options: dict[str, Any], params: Params) -> dict[str, Any]:
    """`options` with the folder to write, and squares that are large enough for the chain."""
    known = dataset(options["name"])
    if known.name == "folder":
        return options
    size = max(known.size or 0, params.resolution) if options["size"] is None else options["size"]
    return options | {"out": options["out"] or Path("raw") / known.name, "size": size}
