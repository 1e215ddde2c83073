"""A very small random Stable Diffusion in diffusers layout: the real classes, no training."""

from __future__ import annotations

import pipeline.compat  # noqa: F401  (before diffusers)

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler
from transformers import CLIPConfig, CLIPModel, CLIPTextModel

from pipeline.miniature import towers, unet
from pipeline.miniature.build import MODEL_INDEX
from pipeline.miniature.tokenizer import train_tokenizer
from pipeline.models import BETA_END, BETA_START

CAPTIONS = ["a round red creature with two blue eyes", "a tall green creature, striped", "horns and a curly tail"]


def write_tiny_model(folder: Path, seed: int = 0, widths: tuple[int, ...] = (32, 32, 32, 32)) -> Path:
    """Write the model to `folder` (tokenizer, text_encoder, vae, unet, scheduler, clip) and return it."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(CAPTIONS, folder / "tokenizer", merges=40)
    clip = _tiny_clip(len(tokenizer))
    clip.save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    (folder / "clip/preprocessor_config.json").write_text(json.dumps(towers.PREPROCESSOR))
    text_encoder = CLIPTextModel(clip.config.text_config)
    text_encoder.text_model.load_state_dict(clip.text_model.state_dict())
    text_encoder.save_pretrained(folder / "text_encoder")
    unet.new_unet(widths, context=32, groups=4).save_pretrained(folder / "unet")
    _tiny_vae().save_pretrained(folder / "vae")
    EulerAncestralDiscreteScheduler(
        beta_start=BETA_START, beta_end=BETA_END, beta_schedule="scaled_linear", steps_offset=1
    ).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX))
    return folder


def _tiny_clip(vocabulary: int) -> CLIPModel:
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = tower | {"vocab_size": vocabulary, "max_position_embeddings": 77, "bos_token_id": vocabulary - 2,
                    "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1, "projection_dim": 16}  # fmt: skip
    vision = tower | {"image_size": 64, "patch_size": 16, "projection_dim": 16}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))


def _tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
