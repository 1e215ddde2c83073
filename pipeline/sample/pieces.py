"""Cut a batch into the pieces that the memory holds; how it is cut changes no image beyond rounding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from pipeline.core.errors import UserError, is_out_of_memory
from pipeline.diffusion.compiled import release_memory

Result = TypeVar("Result")


class Pieces:
    """Does work on `rows` rows at a time, and on half as many for good whenever that has run out of memory."""

    def __init__(self, name: str, rows: int) -> None:
        self._name, self.rows = name, rows

    def each(self, work: Callable[[slice], Result], count: int) -> list[Result]:
        """The result of `work` on every piece of `count` rows, in order.

        Says once at each change how many rows a piece has from now on. Raises UserError when a single row does not fit.
        """
        results: list[Result] = []
        start, before = 0, self.rows
        while start < count:
            piece = slice(start, min(count, start + self.rows))
            result = _tried(work, piece)
            if result is not None:
                results.append(result)
                start = piece.stop
            else:
                self._halve(piece.stop - start)
        if self.rows < before:
            print(
                f"{self._name}: the memory does not hold {before} images at a time, going on with {self.rows}", file=sys.stderr
            )
        return results

    def _halve(self, failed: int) -> None:
        if failed == 1:
            raise UserError(
                f"{self._name}: the memory does not hold one image; set precision: fp16 or resolution lower, "
                "or free memory of other programs; finished images are kept"
            )
        self.rows = -(-failed // 2)
        release_memory()


def _tried(work: Callable[[slice], Result], piece: slice) -> Result | None:
    """None when it ran out of memory. The error is gone on return, and with it what its frames held."""
    try:
        return work(piece)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
