"""Very small random Stable Diffusions, 1.x and XL, in diffusers layout: the real classes, no training."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pipeline.diffusion.families.sd1 import StableDiffusion1
from pipeline.diffusion.families.sdxl import StableDiffusionXLFamily
from pipeline.diffusion.noise_schedule import BETA_END, BETA_START
from pipeline.miniature import clip_towers, unet
from pipeline.miniature.build import MODEL_INDEX
from pipeline.miniature.tokenizer import train_tokenizer

CAPTIONS = ["a round red creature with two blue eyes", "a tall green creature, striped", "horns and a curly tail"]


def write_tiny_model(folder: Path, seed: int = 0, widths: tuple[int, ...] = (32, 32, 32, 32)) -> Path:
    """Write the model to `folder` (tokenizer, text_encoder, vae, unet, scheduler, clip) and return it."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(CAPTIONS, folder / "tokenizer", merges=40)
    clip = _tiny_clip(len(tokenizer))
    clip.save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    (folder / "clip/preprocessor_config.json").write_text(json.dumps(clip_towers.PREPROCESSOR))
    text_encoder = CLIPTextModel(clip.config.text_config)
    text_encoder.text_model.load_state_dict(clip.text_model.state_dict())
    text_encoder.save_pretrained(folder / "text_encoder")
    unet.new_unet(widths, context=32, groups=4).save_pretrained(folder / "unet")
    _tiny_vae().save_pretrained(folder / "vae")
    _write_scheduler(folder)
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX))
    return folder


def write_tiny_xl(folder: Path, seed: int = 0) -> Path:
    """Write a very small SDXL to `folder`, with all of its parts, and a clip to measure with; return it.

    What sd-scripts cannot have otherwise is as in the real one: depths, heads of 64, 32 groups, 12 layers in the first text
    encoder. The two tokenizers and the widths of the two text encoders differ, so that none can be taken for the other.
    """
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(CAPTIONS, folder / "tokenizer", merges=40)
    second = train_tokenizer(CAPTIONS, folder / "tokenizer_2", merges=20)
    second.pad_token = "!"
    second.save_pretrained(folder / "tokenizer_2")
    clip = _tiny_clip(len(tokenizer))
    clip.save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    (folder / "clip/preprocessor_config.json").write_text(json.dumps(clip_towers.PREPROCESSOR))
    sizes = {"intermediate_size": 64, "num_attention_heads": 2, "max_position_embeddings": 77, "eos_token_id": 2}
    one = CLIPTextConfig(hidden_size=32, num_hidden_layers=12, vocab_size=len(tokenizer), **sizes)
    two = CLIPTextConfig(hidden_size=48, num_hidden_layers=3, vocab_size=len(second), projection_dim=40, **sizes)
    CLIPTextModel(one).save_pretrained(folder / "text_encoder")
    CLIPTextModelWithProjection(two).save_pretrained(folder / "text_encoder_2")
    _tiny_xl_unet(context=32 + 48, pooled=40).save_pretrained(folder / "unet")
    _tiny_vae(StableDiffusionXLFamily.latent_scale).save_pretrained(folder / "vae")
    _write_scheduler(folder)
    (folder / "model_index.json").write_text(json.dumps(_XL_INDEX))
    return folder


_XL_INDEX = {
    "_class_name": "StableDiffusionXLPipeline",
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"],
}


def _tiny_xl_unet(context: int, pooled: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=(32, 64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=[1, 2, 10],
        attention_head_dim=[1, 1, 2],
        use_linear_projection=True,
        cross_attention_dim=context,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=pooled + 6 * 256,
        sample_size=8,
    )


def _write_scheduler(folder: Path) -> None:
    EulerAncestralDiscreteScheduler(
        beta_start=BETA_START, beta_end=BETA_END, beta_schedule="scaled_linear", steps_offset=1
    ).save_pretrained(folder / "scheduler")


def _tiny_clip(vocabulary: int) -> CLIPModel:
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = tower | {"vocab_size": vocabulary, "max_position_embeddings": 77, "bos_token_id": vocabulary - 2,
                    "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1, "projection_dim": 16}  # fmt: skip
    vision = tower | {"image_size": 64, "patch_size": 16, "projection_dim": 16}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))


def _tiny_vae(scaling_factor: float = StableDiffusion1.latent_scale) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=scaling_factor,
    )
