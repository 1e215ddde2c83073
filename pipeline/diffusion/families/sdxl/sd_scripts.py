"""How sd-scripts finetunes an SDXL: its sizes, how it loads the model, and what it says of mirrored images are corrected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.diffusion.families.sd1.sd_scripts import UNET_FIXED, checked_config
from pipeline.diffusion.families.sdxl.layout import BLOCKS

SCRIPT = "sdxl_train_network"
TRAINER = "SdxlNetworkTrainer"

_FIXED = UNET_FIXED | {
    "down_block_types": BLOCKS,
    "up_block_types": [name.replace("Down", "Up") for name in reversed(BLOCKS)],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "norm_num_groups": 32,
}
_HEAD_WIDTH = 64
_FIRST_ENCODER_LAYERS = 12


def trainer(script: Any) -> type:
    """Return sd-scripts' SdxlNetworkTrainer, loading the model once in the precision that it trains in, to the same weights.

    sd-scripts loads a diffusers folder in float32 (14 GB) and casts later. For fp16 it also asks for files of the variant
    "fp16", and a folder without them is an error.
    """

    class SdxlTrainer(script.SdxlNetworkTrainer):
        def load_target_model(self, args: Any, weight_dtype: Any, accelerator: Any) -> Any:
            import torch
            from library import sdxl_train_util

            folder = Path(args.pretrained_model_name_or_path).resolve()
            if folder.is_dir():
                args.pretrained_model_name_or_path = str(folder)
                # Loaded apart, so that it never goes through the half precision in which it overflows.
                args.vae = args.vae or str(folder / "vae")
            sdxl_train_util.match_mixed_precision = lambda *_: weight_dtype
            return super().load_target_model(args, torch.float32, accelerator)

        def process_batch(self, batch: dict[str, Any], *arguments: Any, **named: Any) -> Any:
            # No image of T_k is cropped. Without buckets, sd-scripts gives a mirrored one its own width as the left edge of
            # its crop, which half of the training would then be conditioned on, and sampling never.
            batch["crop_top_lefts"].zero_()
            return super().process_batch(batch, *arguments, **named)

    return SdxlTrainer


def set_sizes(model: str) -> None:
    """Set the sizes of an SDXL. Raise UserError when the model differs from it in more than its sizes."""
    config_file = Path(model) / "unet/config.json"
    if not config_file.is_file():
        return
    config = checked_config(config_file, _FIXED)
    width = config["block_out_channels"][0]
    expected = {
        "block_out_channels": [width, 2 * width, 4 * width],
        "attention_head_dim": [max(1, multiple * width // _HEAD_WIDTH) for multiple in (1, 2, 4)],
    }
    checked_config(config_file, expected)
    checked_config(Path(model) / "text_encoder/config.json", {"num_hidden_layers": _FIRST_ENCODER_LAYERS})
    from library import sdxl_original_unet

    sdxl_original_unet.MODEL_CHANNELS = width
    sdxl_original_unet.TIME_EMBED_DIM = 4 * width
    sdxl_original_unet.ADM_IN_CHANNELS = config["projection_class_embeddings_input_dim"]
    if config["cross_attention_dim"] != sdxl_original_unet.CONTEXT_DIM:
        _narrow_context(sdxl_original_unet, config["cross_attention_dim"])


def _narrow_context(module: Any, width: int) -> None:
    """Give the transformers' class the width of the text condition, which stands in each call of it."""

    class Transformer2DModel(module.Transformer2DModel):
        def __init__(self, **sizes: Any) -> None:
            super().__init__(**(sizes | {"cross_attention_dim": width}))

    module.Transformer2DModel = Transformer2DModel
