"""Draw D_k: `images_per_prompt` images of each prompt of P with M_k, and the traces of how they came about."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.chain.run_environment import run_environment
from pipeline.chain.shards import Sharding
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, remove_scratch, sha256_bytes, sha256_file
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.diffusion.families import family_of
from pipeline.diffusion.lora import identify
from pipeline.inputs.base_models.identity import require_recorded
from pipeline.methods.schedules import make_schedule
from pipeline.sample.image_plan import Plan, plan_images
from pipeline.sample.outputs import collect, collect_traces
from pipeline.sample.png import ImageLineage
from pipeline.sample.processes import draw_all
from pipeline.sample.sampler import SampleSettings, load_merged


def run(params: View, k: int, layout: Layout, device: str, processes: int = 1) -> None:
    """Write data/D_k (PNGs or shards, manifest.jsonl) and traces/k.safetensors; go on where a killed run stopped.

    `processes` share the images between them and change none. Raise UserError when M_0 or M_k is missing, changed or of
    another shape, and as `processes.draw_all` does.
    """
    plan = _plan(params, k, layout, device)
    draw_all(partial(load_merged, params.model, params.vae, layout.lora(k), params.precision), plan, device, processes)
    with atomic_folder(layout.images(k)) as folder:
        write_jsonl(folder / layout.manifest(k).name, collect(plan, folder))
    collect_traces(plan, layout.traces(k))
    remove_scratch(plan.scratch)


def _plan(params: View, k: int, layout: Layout, device: str) -> Plan:
    base = require_recorded(layout.base_record(), params.model, params.vae)
    weights = layout.lora(k)
    if not weights.is_file():
        raise UserError(f"{weights} does not exist; make it with 'dvc repro train@{k}' or fetch it with 'dvc pull'")
    key: dict[str, Any] = {
        "base": base,
        "lora": sha256_file(weights),
        "prompts": _prompts(layout),
        "params": params.as_dict(),
        "k": k,
        "run_environment": run_environment(device),
    }
    settings = SampleSettings(
        schedule=make_schedule(params),
        steps=params.steps,
        height=params.resolution,
        width=params.resolution,
        clip_skip=params.clip_skip,
        max_token_length=params.max_token_length,
        family=family_of(params.model).layout.key,
    )
    prompts = ((row["index"], row["prompt"]) for row in key["prompts"])
    return Plan(
        name=f"D_{k}",
        images=plan_images(prompts, params.seed, k, params.images_per_prompt),
        settings=settings,
        lineage=ImageLineage(Path(params.model).name, base, identify(weights, f"M_{k}"), params.cfg, settings, k),
        batch=params.sample_batch,
        scratch=layout.scratch / "sample" / sha256_bytes(json.dumps(key, sort_keys=True).encode())[:16],
        sharding=Sharding(params.shard_above, params.shard_size),
    )


def _prompts(layout: Layout) -> list[dict[str, Any]]:
    prompts = read_jsonl(layout.prompts, ("index", "prompt"))
    if not prompts:
        raise UserError(
            f"{layout.prompts} lists no prompt; restore it with 'dvc checkout', or make it with 'dvc repro prepare'"
        )
    return prompts
