"""What is known to be drawn and trained right, value by value, of the configs of a model's parts; the rest is asked about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.diffusion.families.part_rules import Config, PartRules, shown

_SD1_BLOCKS = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]

UNET_DEFAULTS: Config = {
    "in_channels": 4,
    "out_channels": 4,
    "center_input_sample": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "down_block_types": _SD1_BLOCKS,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "only_cross_attention": False,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "dropout": 0.0,
    "act_fn": "silu",
    "norm_eps": 1e-05,
    "transformer_layers_per_block": 1,
    "reverse_transformer_layers_per_block": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "num_attention_heads": None,
    "dual_cross_attention": False,
    "use_linear_projection": False,
    "class_embed_type": None,
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "num_class_embeds": None,
    "upcast_attention": False,
    "resnet_time_scale_shift": "default",
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "time_cond_proj_dim": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "projection_class_embeddings_input_dim": None,
    "attention_type": "default",
    "cross_attention_dim": 1280,
    "class_embeddings_concat": False,
    "mid_block_only_cross_attention": None,
    "cross_attention_norm": None,
    "addition_embed_type_num_heads": 64,
}
_UNET_SIZES = frozenset(
    {"sample_size", "block_out_channels", "layers_per_block", "norm_num_groups", "cross_attention_dim", "attention_head_dim"}
)


_OF_AN_AVERAGE = frozenset(
    {"decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step", "use_ema_warmup"}
)
"""How the average of the weights was taken, which diffusers' training scripts leave in the config of what they save."""


def unet_rules(blocks: list[str], more_sizes: Iterable[str] = (), **values: Any) -> PartRules:
    """Return the rules of a U-Net with these blocks on the way down; `values` differ from diffusers' defaults."""
    up = [name.replace("Down", "Up") for name in reversed(blocks)]
    fixed = {"down_block_types": blocks, "up_block_types": up, **values}
    sizes = _UNET_SIZES | set(more_sizes)
    return PartRules(
        "unet/config.json",
        frozenset({"UNet2DConditionModel"}),
        UNET_DEFAULTS,
        {key: (value,) for key, value in fixed.items()} | {"act_fn": ("silu", "swish")},
        sizes,
        frozenset({"block_out_channels", "attention_head_dim", "transformer_layers_per_block"}),
        _OF_AN_AVERAGE,
    )


_VAE_DEFAULTS: Config = {
    "in_channels": 3,
    "out_channels": 3,
    "act_fn": "silu",
    "latent_channels": 4,
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}


def vae_rules(scales: Iterable[float], file: str = "vae/config.json") -> PartRules:
    """Return the rules of a VAE whose latents are multiplied by one of these before diffusion."""
    return PartRules(
        file,
        frozenset({"AutoencoderKL"}),
        _VAE_DEFAULTS,
        {"scaling_factor": tuple(scales), "act_fn": ("silu", "swish")},
        frozenset({"block_out_channels", "layers_per_block", "norm_num_groups", "sample_size"}),
        frozenset({"block_out_channels"}),
        # The first is a matter of half precision; the blocks are looked at by `blocks_of_vae_fault`.
        frozenset({"force_upcast", "down_block_types", "up_block_types"}),
    )


def blocks_of_vae_fault(config: Config, file: str = "vae/config.json") -> str | None:
    """Tell that a VAE has other blocks than the plain ones; None when it has as many plain ones as widths."""
    count = len(config["block_out_channels"]) if isinstance(config.get("block_out_channels"), list) else 1
    for key, name in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
        if config.get(key, [name]) != [name] * count:
            return f"a model whose {file} says {key}: {shown(config.get(key, [name]))}, not {count} of {name}"
    return None


_TEXT_DEFAULTS: Config = {
    "hidden_size": 512,
    "projection_dim": 512,
    "vocab_size": 49408,
    "hidden_act": "quick_gelu",
    "max_position_embeddings": 77,
    "layer_norm_eps": 1e-05,
    "attention_dropout": 0.0,
    "dropout": 0.0,
    "model_type": "clip_text_model",
    "return_dict": True,
    "use_return_dict": True,
    "output_hidden_states": False,
    "output_attentions": False,
    "torchscript": False,
    "pruned_heads": {},
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "use_bfloat16": False,
    "tie_encoder_decoder": False,
}
_OF_EVERY_TRANSFORMER = frozenset(
    {"architectures", "attn_implementation", "begin_suppress_tokens", "bos_token_id", "cross_attention_hidden_size",
     "bad_words_ids", "decoder_start_token_id", "diversity_penalty", "do_sample", "dtype", "early_stopping",
     "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "finetuning_task",
     "forced_bos_token_id", "forced_eos_token_id", "id2label", "initializer_factor", "initializer_range", "label2id",
     "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams",
     "num_return_sequences", "output_scores", "pad_token_id", "prefix", "problem_type", "remove_invalid_values",
     "repetition_penalty", "return_dict_in_generate", "sep_token_id", "suppress_tokens", "task_specific_params",
     "temperature", "tf_legacy_loss", "tie_word_embeddings", "tokenizer_class", "top_k", "top_p", "torch_dtype",
     "transformers_version", "typical_p"}
)  # fmt: skip
"""Keys that every config of transformers may have, and that no text encoder computes with but as the library does."""


def text_rules(part: str) -> PartRules:
    """Return the rules of a CLIP text encoder."""
    return PartRules(
        f"{part}/config.json",
        frozenset({"CLIPTextModel", "CLIPTextModelWithProjection"}),
        _TEXT_DEFAULTS,
        {"hidden_act": ("quick_gelu", "gelu")},
        frozenset(
            {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "projection_dim"}
        ),
        ignored=_OF_EVERY_TRANSFORMER,
    )


SCHEDULER_RULES = PartRules(
    "scheduler/scheduler_config.json",
    # The solver is always our own, so what matters is the noise that they say the network was trained on.
    frozenset({
        "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler",
        "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LMSDiscreteScheduler", "PNDMScheduler",
        "UniPCMultistepScheduler",
    }),
    {
        "num_train_timesteps": 1000,
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "trained_betas": None,
        "prediction_type": "epsilon",
        "rescale_betas_zero_snr": False,
        "thresholding": False,
        "timestep_type": "discrete",
        "timestep_spacing": "linspace",
        "sigma_min": None,
        "sigma_max": None,
        "use_flow_sigmas": False,
        "use_dynamic_shifting": False,
        "shift_terminal": None,
        "variance_type": None,
    },
    {
        "beta_start": (0.00085,),
        "beta_end": (0.012,),
        "beta_schedule": ("scaled_linear",),
        # "trailing" is what distilled models and those of zero terminal SNR are drawn with.
        "timestep_spacing": ("linspace", "leading"),
        "variance_type": (None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
    },
    ignored=frozenset({
        "algorithm_type", "clip_sample", "clip_sample_range", "disable_corrector", "dynamic_thresholding_ratio",
        "euler_at_final", "final_sigmas_type", "flow_shift", "interpolation_type", "lambda_min_clipped", "lower_order_final",
        "predict_x0", "sample_max_value", "set_alpha_to_one", "skip_prk_steps", "solver_order", "solver_p", "solver_type",
        "steps_offset", "time_shift_type", "use_beta_sigmas", "use_exponential_sigmas", "use_karras_sigmas", "use_lu_lambdas",
    }),
)  # fmt: skip
