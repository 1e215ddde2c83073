"""What to do when a training step runs out of memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core.errors import UserError, is_out_of_memory

LESS_MEMORY = (
    "set gradient_checkpointing: true (the same result, slower), precision: fp16 or bf16, cache_latents: true (kohya: no VAE "
    "in memory), or batch_size lower in params.yaml, and run again"
)
"""Half a sentence: the knobs, the one that costs nothing but time first."""


@contextmanager
def explain_out_of_memory(batch_size: int, precision: str) -> Iterator[None]:
    """Turn running out of memory inside the block into a UserError that names the knobs."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        step = f"a training step of batch_size {batch_size} in precision {precision}"
        raise UserError(f"out of memory in {step}; {LESS_MEMORY}") from error
