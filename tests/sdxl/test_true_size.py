"""True-size Stable Diffusion 1.5 and SDXL through a chain on a CPU: prepare, train (both trainers), sample, measure.

Weights are random, images 64x64, two updates and two steps. SDXL is in bfloat16, on the disk too: it needs 13 GiB of memory and
8 GB of disk while it runs. With `-s` each stage tells its seconds and the peak of memory.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import gc
import math
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from sdxl.true_size import PARAMETERS, write_true_size

from pipeline.chain import paths
from pipeline.chain.params import View, check
from pipeline.chain.paths import Layout
from pipeline.core.json_files import read_json, read_jsonl
from pipeline.curate import stage as curate
from pipeline.diffusion import lora
from pipeline.diffusion.families import FAMILIES
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.families.sdxl.model import StableDiffusionXL
from pipeline.diffusion.lora_targets import target_modules
from pipeline.measure import stage as measure
from pipeline.prepare import stage as prepare
from pipeline.sample import stage as sample
from pipeline.train import stage as train
from project import ROOT
from train.train_project import needs_sd_scripts

pytestmark = [pytest.mark.slow, needs_sd_scripts]

PRECISION = {"sd1": "fp32", "sdxl": "bf16"}
LAYERS = {"sd1": {"lora_te_": 72, "lora_unet_": 192}, "sdxl": {"lora_te1_": 72, "lora_te2_": 192, "lora_unet_": 722}}
GIGABYTES = {"sd1": 9, "sdxl": 13}


@pytest.fixture(scope="module", params=list(PRECISION))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A family's name and its model, which is deleted afterwards."""
    available = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    if int(available.split()[1]) < GIGABYTES[request.param] * 10**6:
        pytest.skip(f"{request.param} needs {GIGABYTES[request.param]} GB of free memory")
    folder = tmp_path_factory.mktemp(request.param) / "model"
    yield request.param, write_true_size(folder, request.param)
    shutil.rmtree(folder)


def chain(root: Path, model: Path, clip: Path, trainer: str, precision: str) -> Layout:
    """D_0 to the measures of D_1, stage by stage as `dvc repro` runs them."""
    layout = Layout(root)
    (root / "vendor").mkdir(parents=True)
    (root / "vendor/sd-scripts").symlink_to(paths.sd_scripts(ROOT))
    small = {"prompts": 6, "batch_size": 2, "updates": 2, "steps": 2, "sample_batch": 6, "rank": 4, "unet_lr": 1e-2}
    small |= {"text_encoder_lr": 1e-2, "condition_drop": 0.5, "clip_model": str(clip), "feature_model": str(clip)}
    names = {"iterations": {"1": {"prev": 0}}, "model": str(model), "trainer": trainer, "precision": precision}
    params = check(names | small)
    prepare.run(View(params, "prepare"), layout)
    measure.run(View(params, "measure"), 0, layout, "cpu")
    curate.run(View(params, "curate"), 1, layout)
    for stage in (train, sample, measure):
        begun = time.monotonic()
        stage.run(View(params, stage.__package__.split(".")[-1]), 1, layout, "cpu")
        gc.collect()
        print(f"{model.parent.name} {trainer} {stage.__package__}: {time.monotonic() - begun:.0f} s, peak so far {peak()}")
    return layout


def peak() -> str:
    """Largest resident memory so far, of this process and of the largest that it has started."""
    own, child = (resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f"{own:.1f} GiB here, {child:.1f} GiB in a child"


@pytest.mark.parametrize("trainer", ["kohya", "builtin"])
def test_a_true_size_model_passes_train_sample_and_measure(
    model: tuple[str, Path], tiny_model: Path, tmp_path: Path, trainer: str
) -> None:
    family, folder = model
    layout = chain(tmp_path / "chain", folder, tiny_model / "clip", trainer, PRECISION[family])
    weights = lora.load(layout.lora(1))
    for prefix, count in LAYERS[family].items():
        layers = [layer for name, layer in weights.items() if name.startswith(prefix)]
        assert len(layers) == count and any(layer.up.abs().max() > 0 for layer in layers)
    losses = [float(line.split(",")[1]) for line in layout.losses(1).read_text().splitlines()[1:]]
    assert len(losses) == 2 and all(map(math.isfinite, losses))
    assert len(read_jsonl(layout.manifest(1))) == 6
    assert math.isfinite(read_json(layout.metrics(1))["fid"])
    if trainer == "kohya":
        assert_diffusers_loads(folder, family, layout.lora(1), weights)


def assert_diffusers_loads(folder: Path, family: str, path: Path, weights: dict[str, lora.LowRank]) -> None:
    """Every layer's change in diffusers is the file's own, in the layer that our sampler changes."""
    kind = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    pipe = kind.from_pretrained(folder, torch_dtype=torch.bfloat16)
    ours = as_ours(pipe)
    parts = [part for part in (pipe.text_encoder, getattr(pipe, "text_encoder_2", None), pipe.unet) if part is not None]
    assert sum(weight.numel() for part in (*parts, pipe.vae) for weight in part.parameters()) == PARAMETERS[family]
    names = {id(module): name for name, module in target_modules(ours).items()}
    pipe.load_lora_weights(str(path.parent), weight_name=path.name)
    wrapped = [module for part in parts for module in part.modules() if hasattr(module, "lora_A") and len(module.lora_A)]
    assert {names[id(module.base_layer)] for module in wrapped} == weights.keys()
    for module in wrapped:
        layer = weights[names[id(module.base_layer)]]
        adapter = next(iter(module.lora_A))
        up, down = module.lora_B[adapter].weight, module.lora_A[adapter].weight
        change = module.scaling[adapter] * up.float().flatten(1) @ down.float().flatten(1)
        expected = layer.scale * layer.up.flatten(1) @ layer.down.flatten(1)
        torch.testing.assert_close(change, expected, rtol=2e-2, atol=1e-3)


def as_ours(pipe: StableDiffusionPipeline | StableDiffusionXLPipeline) -> StableDiffusion:
    if isinstance(pipe, StableDiffusionXLPipeline):
        return StableDiffusionXL(pipe.tokenizer, pipe.text_encoder, pipe.vae, pipe.unet, pipe.tokenizer_2, pipe.text_encoder_2,
                                 family=FAMILIES["sdxl"])  # fmt: skip
    return StableDiffusion(pipe.tokenizer, pipe.text_encoder, pipe.vae, pipe.unet, family=FAMILIES["sd1"])
