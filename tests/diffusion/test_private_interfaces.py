"""Each name that we use of torch, diffusers and transformers though no document promises it: a test that fails when it goes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pipeline.diffusion.compiled import compile_module, is_compiled, restore
from pipeline.diffusion.models import load_base


def test_torch_keeps_the_compiled_call_where_it_is_taken_back() -> None:
    """compiled.restore sets Module._compiled_call_impl to None; a public way back from Module.compile would let it go."""
    module = nn.Linear(2, 2)
    assert module._compiled_call_impl is None
    compile_module(module)
    assert module._compiled_call_impl is not None and is_compiled(module)
    restore(module)
    assert module._compiled_call_impl is None and not is_compiled(module)


def test_a_module_without_a_forward_of_its_own_runs_its_classs() -> None:
    """trainable_lora.attached sets `forward` on instances, and deletes it to undo that."""
    module = nn.Linear(2, 2)
    module.forward = lambda x: x
    assert torch.equal(module(torch.ones(1, 2)), torch.ones(1, 2))
    del module.forward
    assert "forward" not in vars(module)


def test_diffusers_blocks_have_the_parts_that_are_replaced(tiny_model: Path) -> None:
    """cpu_layout and cross_attention_cache reach into these; a cached attention of diffusers' own would let them go."""
    from diffusers.models.attention import BasicTransformerBlock
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    unet = load_base(tiny_model).denoiser
    around = [module for module in unet.modules() if isinstance(module, Transformer2DModel)]
    assert around and all({"proj_in", "proj_out", "use_linear_projection"} <= {*dir(module)} for module in around)
    blocks = [module for module in unet.modules() if isinstance(module, BasicTransformerBlock)]
    assert blocks and all(callable(block.set_chunk_feed_forward) for block in blocks)
    cross = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    assert len(cross) == len(blocks)
    attention = unet.get_submodule(cross[0].removesuffix(".processor"))
    assert {"to_q", "to_k", "to_v", "to_out", "heads"} <= {*dir(attention)}
    assert isinstance(unet.time_embedding, nn.Module)


def test_transformers_text_encoder_has_the_norm_that_clip_skip_ends_with(tiny_model: Path) -> None:
    """text.encode applies text_model.final_layer_norm to an inner layer's states."""
    assert isinstance(load_base(tiny_model).text_encoder.text_model.final_layer_norm, nn.LayerNorm)
