"""Draw D_k: `images_per_prompt` images of each prompt of P with M_k, and the traces of how they came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.chain.params import View
from pipeline.chain.paths import Layout, image_name
from pipeline.chain.run_environment import run_environment
from pipeline.chain.shards import Sharding
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, sha256_bytes, sha256_file
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.core.randomness import image_seed
from pipeline.diffusion import lora
from pipeline.diffusion.families import family_of
from pipeline.inputs.base_models.identity import require_recorded
from pipeline.methods.schedules import make_schedule
from pipeline.sample.outputs import collect, collect_traces, discard
from pipeline.sample.plan import Plan, PlannedImage
from pipeline.sample.png import Lineage
from pipeline.sample.processes import ModelSource, draw_all
from pipeline.sample.sampler import Settings


def run(params: View, k: int, layout: Layout, device: str, processes: int = 1) -> None:
    """Write data/D_k (PNGs or shards, manifest.jsonl) and traces/k.safetensors; go on where a killed run stopped.

    `processes` share the images between them and change none. Raise UserError when M_0 or M_k is missing, changed or of
    another shape, and as `processes.draw_all` does.
    """
    plan = _plan(params, k, layout, device)
    draw_all(ModelSource(params.model, params.vae, layout.lora(k), params.precision), plan, device, processes)
    with atomic_folder(layout.images(k)) as folder:
        write_jsonl(folder / layout.manifest(k).name, collect(plan, folder))
    collect_traces(plan, layout.traces(k))
    discard(plan)


def _plan(params: View, k: int, layout: Layout, device: str) -> Plan:
    base = _checked_base(params, layout)
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
    return Plan(
        name=f"D_{k}",
        images=_planned_images(key["prompts"], params.seed, k, params.images_per_prompt),
        settings=_settings(params),
        lineage=_lineage(params, k, base, lora.identify(weights, f"M_{k}")),
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


def _checked_base(params: View, layout: Layout) -> str:
    """Return M_0's hash as recorded. Raise UserError when the files of the model or its VAE have changed since."""
    return require_recorded(layout.base_record(), params.model, params.vae)


def _planned_images(prompts: list[dict[str, Any]], seed: int, k: int, images_per_prompt: int) -> list[PlannedImage]:
    return [
        PlannedImage(
            file=image_name(row["index"], image),
            prompt_index=row["index"],
            image_index=image,
            prompt=row["prompt"],
            seed=image_seed(seed, k, row["index"], image),
        )
        for row in prompts
        for image in range(images_per_prompt)
    ]


def _settings(params: View) -> Settings:
    return Settings(
        schedule=make_schedule(params),
        steps=params.steps,
        height=params.resolution,
        width=params.resolution,
        clip_skip=params.clip_skip,
        max_token_length=params.max_token_length,
        family=family_of(params.model).layout.key,
    )


def _lineage(params: View, k: int, base: str, weights: lora.LoraFile) -> Lineage:
    return Lineage(
        base=Path(params.model).name,
        base_hash=base,
        lora=weights,
        cfg=params.cfg,
        settings=_settings(params),
        k=k,
    )
