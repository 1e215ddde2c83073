"""sd-scripts' trainer for SDXL, with two things mended: how it loads the model, and what it says of mirrored images."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def adapted(sdxl_trainer: type) -> type:
    """sd-scripts' SdxlNetworkTrainer, loading the model once in the precision that it trains in, to the same weights.

    sd-scripts loads a diffusers folder in float32 (14 GB) and casts later. For fp16 it also asks for files of the variant
    "fp16", and a folder without them is an error.
    """

    class SdxlTrainer(sdxl_trainer):
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
