"""Random changes of a model's folder: a config's value, a tensor missing, renamed or reshaped, a metadata entry, a file."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

CONFIGS = ("unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json",
           "text_encoder_2/config.json", "model_index.json", "tokenizer/tokenizer_config.json",
           "tokenizer_2/tokenizer_config.json")  # fmt: skip

NEW_KEYS: dict[str, dict[str, list[Any]]] = {
    "unet/config.json": {
        "time_cond_proj_dim": [256, 32], "class_embed_type": ["timestep", "identity", "projection"], "num_class_embeds": [1000],
        "encoder_hid_dim": [32], "encoder_hid_dim_type": ["text_proj"], "mystery": [3, None], "attention_type": ["gated"],
        "resnet_skip_time_act": [True], "time_embedding_type": ["fourier"], "upcast_attention": [True, None],
        "only_cross_attention": [True], "dual_cross_attention": [True], "conv_in_kernel": [1], "norm_eps": [1e-6, 0.1],
        "act_fn": ["gelu", "swish"], "center_input_sample": [True], "flip_sin_to_cos": [False], "freq_shift": [1],
        "in_channels": [8, 9], "out_channels": [8], "num_attention_heads": [4], "attention_head_dim": [1, 2, 4, 16],
        "norm_num_groups": [2, 8], "sample_size": [16, 8], "resnet_time_scale_shift": ["scale_shift"], "dropout": [0.1],
        "quantization_config": [{"quant_method": "bitsandbytes"}], "addition_embed_type": ["text", "text_time", None],
        "addition_time_embed_dim": [128], "projection_class_embeddings_input_dim": [100], "_class_name": ["UNetMotionModel"],
        "mid_block_type": [None, "UNetMidBlock2D"], "transformer_layers_per_block": [2], "timestep_post_act": ["silu"],
        "resnet_out_scale_factor": [0.7], "mid_block_scale_factor": [2], "downsample_padding": [0],
        "cross_attention_norm": ["layer_norm"], "use_linear_projection": [True, False], "cross_attention_dim": [64],
    },
    "vae/config.json": {
        "latents_mean": [[0.1] * 4], "latents_std": [[0.9] * 4], "shift_factor": [0.06, 0.0], "scaling_factor": [0.5, 0.13025],
        "use_quant_conv": [False], "use_post_quant_conv": [False], "mid_block_add_attention": [False], "force_upcast": [False],
        "act_fn": ["relu"], "latent_channels": [16], "norm_num_groups": [2], "_class_name": ["AsymmetricAutoencoderKL"],
    },
    "text_encoder/config.json": {
        "hidden_act": ["gelu"], "layer_norm_eps": [1e-3], "num_attention_heads": [4, 1], "num_hidden_layers": [1, 3],
        "max_position_embeddings": [64], "eos_token_id": [2, 0, "2", None], "bos_token_id": [0], "attention_dropout": [0.5],
        "temperature": [2.0], "quantization_config": [{"bits": 8}], "model_type": ["bert"], "return_dict": [False],
        "projection_dim": [99],
    },
    "scheduler/scheduler_config.json": {
        "prediction_type": ["v_prediction", "sample", "epsilon"], "beta_schedule": ["linear", "squaredcos_cap_v2"],
        "beta_start": [0.001], "beta_end": [0.02], "rescale_betas_zero_snr": [True], "num_train_timesteps": [500],
        "trained_betas": [[0.1, 0.2]], "timestep_spacing": ["trailing", "leading"], "steps_offset": [0, 1], "sigma_data": [0.5],
        "_class_name": ["EDMEulerScheduler", "LCMScheduler", "DDIMScheduler"], "thresholding": [True],
        "use_karras_sigmas": [True], "sigma_max": [80.0], "timestep_type": ["continuous"], "set_alpha_to_one": [True],
    },
    "model_index.json": {
        "_class_name": ["StableDiffusionInstructPix2PixPipeline", "LatentConsistencyModelPipeline"],
        "scheduler": [["diffusers", "LCMScheduler"], ["diffusers", "DDIMScheduler"]],
        "unet": [["diffusers", "UNetMotionModel"]], "controlnet": [["diffusers", "ControlNetModel"]],
        "force_zeros_for_empty_prompt": [True, False],
    },
    "tokenizer/tokenizer_config.json": {"model_max_length": [64, 77, 512], "pad_token": ["!"], "bos_token": ["a"]},
}  # fmt: skip
"""Values that mean something, beside the random ones."""
NEW_KEYS["text_encoder_2/config.json"] = NEW_KEYS["text_encoder/config.json"]
NEW_KEYS["tokenizer_2/tokenizer_config.json"] = NEW_KEYS["tokenizer/tokenizer_config.json"] | {"pad_token": ["<|endoftext|>"]}

METADATA = {"modelspec.prediction_type": ["v", "epsilon"], "ss_zero_terminal_snr": ["True", "False"], "ss_v2": ["True"],
            "modelspec.architecture": ["stable-diffusion-v2-512", "stable-diffusion-v1"], "format": ["pt"],
            "note": ["mine"]}  # fmt: skip


def copy_with_links(model: Path, target: Path) -> Path:
    """A copy whose files are links until they are written anew, which `mutate` does."""
    shutil.copytree(model, target, copy_function=os.link, ignore=shutil.ignore_patterns("clip"))
    return target


def mutate(folder: Path, chance: random.Random) -> str:
    """Change one thing in the folder, and say which."""
    kinds: list[Callable[[Path, random.Random], str]] = [change_config] * 6 + [change_weights] * 4 + [change_files]
    return chance.choice(kinds)(folder, chance)


def change_config(folder: Path, chance: random.Random) -> str:
    name = chance.choice([name for name in CONFIGS if (folder / name).is_file()])
    config: dict[str, Any] = json.loads((folder / name).read_text())
    kind = chance.random()
    if kind < 0.5:
        key = chance.choice(sorted(NEW_KEYS[name]))
        config[key] = chance.choice(NEW_KEYS[name][key])
    elif kind < 0.65:
        key = chance.choice(sorted(config))
        del config[key]
    else:
        key = chance.choice(sorted(config))
        config[key] = other_value(config[key], chance)
    rewrite(folder / name, json.dumps(config).encode())
    return f"{name}: {key} = {config.get(key, 'removed')}"


def other_value(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return chance.choice([value * 2, value + 1, 0, -1, None, str(value)])
    if isinstance(value, list) and value:
        return chance.choice([value[:-1], value[::-1], [*value, value[-1]], None])
    return chance.choice([None, "other", 1, True, ["other"], {"a": 1}])


def change_weights(folder: Path, chance: random.Random) -> str:
    path = chance.choice(sorted(path for path in folder.glob("*/*.safetensors")))
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    name = chance.choice(sorted(tensors))
    kind = chance.choice(["missing", "renamed", "reshaped", "cast", "added", "metadata", "integers", "scaled", "zeros"])
    if kind == "missing":
        del tensors[name]
    elif kind == "renamed":
        tensors[name.replace(".", "_", 1)] = tensors.pop(name)
    elif kind == "reshaped":
        tensors[name] = torch.cat([tensors[name], tensors[name]])
    elif kind == "cast":
        tensors[name] = tensors[name].to(chance.choice([torch.float16, torch.bfloat16, torch.float64]))
    elif kind == "integers":
        tensors[name] = tensors[name].to(torch.int8)
    elif kind == "added":
        name = chance.choice(["v_pred", "ztsnr", "edm_mean", "mystery.weight", "time_embedding.cond_proj.weight"])
        tensors[name] = torch.zeros(chance.choice([0, 4]))
    elif kind == "metadata":
        name = chance.choice(sorted(METADATA))
        metadata[name] = chance.choice(METADATA[name])
    elif kind == "scaled":
        tensors[name] = tensors[name] * 1.5
    else:
        tensors[name] = torch.zeros_like(tensors[name])
    path.unlink()
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata)
    return f"{path.relative_to(folder)}: {kind} {name} {metadata if kind == 'metadata' else ''}"


def change_files(folder: Path, chance: random.Random) -> str:
    # Without model_index.json diffusers cannot draw at all.
    path = chance.choice(sorted(path for path in folder.glob("*/*") if path.is_file()))
    kind = chance.choice(["gone", "renamed", "cut", "empty"])
    content = path.read_bytes()
    path.unlink()
    if kind == "renamed":
        path.with_name(f"{path.stem}.fp16{path.suffix}").write_bytes(content)
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"{}" if path.suffix == ".json" else b"")
    return f"{path.relative_to(folder)}: {kind}"


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)
