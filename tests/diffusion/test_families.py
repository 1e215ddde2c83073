"""Every model family is one folder behind one protocol, and no stage or input names one."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import pytest
import torch

from pipeline.diffusion import families
from pipeline.diffusion.families import FAMILIES, DiffusionModel, ModelFamily, NoiseProcess, SdScripts, family_of
from pipeline.diffusion.families.layouts import LAYOUTS, layout_of
from pipeline.diffusion.judgement.lora_family import family_by_names
from pipeline.diffusion.judgement.recognise import recognise
from pipeline.diffusion.lora_targets import DENOISER_PREFIX, TEXT_ENCODER_PREFIX, target_modules
from pipeline.diffusion.models import load_base, outline
from project import ROOT

WINGS = ("prepare", "curate", "train", "sample", "measure", "analyse", "report", "inputs")
NAMES_A_FAMILY = {"sdxl", "is_xl", "text_encoder_2", "tokenizer_2", "sd1", "StableDiffusionXL", "sdxl_train_network"}
ALLOWED = {
    # A single-file checkpoint names its tensors as each family's original code did.
    "inputs/base_models/convert.py",
    "inputs/base_models/single_file.py",
}


@pytest.fixture(params=list(FAMILIES))
def folder(request: pytest.FixtureRequest, tiny_model: Path, tiny_xl: Path) -> tuple[ModelFamily, Path]:
    return FAMILIES[request.param], {"sd1": tiny_model, "sdxl": tiny_xl}[request.param]


def members(protocol: type) -> set[str]:
    return {name for name in (*protocol.__annotations__, *vars(protocol)) if not name.startswith("_")}


def test_both_families_have_all_that_the_protocols_name(folder: tuple[ModelFamily, Path]) -> None:
    family, path = folder
    model = load_base(path)
    for protocol, found in (
        (ModelFamily, family), (NoiseProcess, family.noise), (SdScripts, family.sd_scripts), (DiffusionModel, model),
    ):  # fmt: skip
        assert [name for name in sorted(members(protocol)) if not hasattr(found, name)] == [], protocol.__name__
    for name in ("tokenize", "encode", "predict", "fixed_prompts", "to", "move_to"):
        wanted = list(inspect.signature(getattr(DiffusionModel, name)).parameters)
        assert list(inspect.signature(getattr(type(model), name)).parameters) == wanted, name


def test_a_folder_is_recognised_alike_by_its_parts_and_by_its_configs(folder: tuple[ModelFamily, Path]) -> None:
    family, path = folder
    assert family_of(path) is family and layout_of(path) is family.layout is LAYOUTS[family.layout.key]
    assert all((path / part).is_dir() for part in family.layout.parts)
    found = recognise(path)
    assert (found.kind, found.what) == (family.layout.key, family.layout.description)
    assert outline(path).pixels_per_latent == load_base(path).pixels_per_latent


def test_the_published_configs_name_the_familys_parts_and_scale(folder: tuple[ModelFamily, Path]) -> None:
    family, _ = folder
    published = family.layout.published()
    assert set(family.layout.weighted_parts) <= set(published) and set(family.layout.tokenizers) <= set(published)
    assert family.layout.has_true_size(published)
    assert family.layout.claims(published) and family.layout.fault(published) is None


def test_one_step_of_training_and_one_of_sampling_go_through_the_protocol(folder: tuple[ModelFamily, Path]) -> None:
    family, path = folder
    model = load_base(path)
    ids = model.tokenize(["a creature", ""])
    latents, noise = torch.randn(2, 2, model.latent_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([10, model.noise.train_steps - 1])
    with torch.no_grad():
        condition = model.encode(ids)
        predicted = model.predict(model.noise.add_noise(latents, noise, times), times, condition)
        levels = [float(sigma) for sigma in model.noise.noise_levels(2)]
        plain = model.predict(latents, times[:1].expand(2), condition)
        with model.fixed_prompts(condition, 64):
            again = model.predict(latents, times[:1].expand(2), condition)
    assert predicted.shape == latents.shape and model.noise.loss(predicted, latents, noise, times, 5.0).ndim == 0
    assert len(levels) == 3 and levels[0] > levels[1] > levels[2] == 0.0 and len(model.noise.times(2)) == 2
    torch.testing.assert_close(again, plain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.unscale_latents(model.scale_latents(latents)), latents)


def test_names_in_lora_files_are_the_familys_own(folder: tuple[ModelFamily, Path]) -> None:
    family, path = folder
    names = target_modules(load_base(path))
    assert family_by_names(dict.fromkeys(names)) == family.layout.name
    assert all(name.startswith((TEXT_ENCODER_PREFIX, DENOISER_PREFIX)) for name in names)


def test_train_toml_and_metadata_can_hold_what_a_family_adds(folder: tuple[ModelFamily, Path]) -> None:
    json.dumps(dict(folder[0].sd_scripts_settings))
    assert folder[0].base_model_version and folder[0].network_module


def test_no_stage_and_no_input_names_a_family() -> None:
    found = set()
    for path in (path for wing in WINGS for path in (ROOT / "pipeline" / wing).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said = {getattr(node, name, None) for name in ("id", "attr", "name", "arg", "module")}
            said |= {node.value} if isinstance(node, ast.Constant) else set()
            words = {word for text in said if isinstance(text, str) and "\n" not in text for word in text.split(".")}
            if words & NAMES_A_FAMILY:
                found.add(path.relative_to(ROOT / "pipeline").as_posix())
    assert found == ALLOWED


def test_the_package_of_families_imports_no_model_code() -> None:
    for file in [Path(families.__file__), *Path(families.__file__).parent.glob("*/__init__.py")]:
        top = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {getattr(node, "module", None) or node.names[0].name for node in top}
        assert not [name for name in names if name.partition(".")[0] in ("torch", "diffusers", "transformers")]
        assert not [name for name in names if name.endswith(".model")]
