"""Training-set policies, one a file: how T_k, the images that M_k is finetuned on, is chosen from D_0..D_{k-1}."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from pipeline.core.errors import UserError
from pipeline.methods.registry import Registry

if TYPE_CHECKING:
    import numpy as np

TrainingImage = dict[str, Any]
"""One training image: path, prompt_index, image_index, caption, k (the iteration it comes from), sha256."""

Input = Literal["real", "previous", "features"]
"""What a policy may read besides the images of D_{k-1}."""


class Sources(Protocol):
    """What T_k can be chosen from."""

    @property
    def k(self) -> int: ...

    def images(self, j: int) -> list[TrainingImage]:
        """Return the images of D_j, in its order; j < k, and D_0 are the real ones."""
        ...

    def previous(self) -> list[TrainingImage]:
        """Return T_{k-1}; T_0 is empty."""
        ...

    def features(self, images: Sequence[TrainingImage]) -> np.ndarray:
        """Return the features of these images [n,d], float32."""
        ...


@dataclass(frozen=True)
class Policy:
    """`choose` makes T_k of the sources and the parameters of stage curate.

    `words` ends "each iteration finetunes the model on", with the parameters that the policy `reads` in braces, {before} for
    the images of the iteration before and {all_before} for those of all iterations before.
    """

    choose: Callable[[Sources, Any], list[TrainingImage]]
    words: str
    reads: tuple[str, ...]
    inputs: tuple[Input, ...]

    def in_words(self, params: Mapping[str, Any], before: str, all_before: str) -> str:
        """Return what T_k is, with the values that `params` has."""
        told = {key: params.get(key) for key in self.reads}
        plain = {key: value.replace("_", " ") if isinstance(value, str) else value for key, value in told.items()}
        return self.words.format(**plain, before=before, all_before=all_before)


POLICIES: Registry[Policy] = Registry("training_set", __name__, ("replace", "mix", "accumulate", "select"))

Choose = TypeVar("Choose", bound=Callable[[Sources, Any], list[TrainingImage]])


def policy(
    name: str, words: str, reads: tuple[str, ...] = (), inputs: tuple[Input, ...] = ("real", "previous", "features")
) -> Callable[[Choose], Choose]:
    """Register a function as the policy `name`, as `Policy` describes. Raises UserError where the name is taken, an input is
    none, or `words` has something in braces that the policy does not read."""
    if not set(inputs) <= set(get_args(Input)):
        raise UserError(f"the inputs of the training_set {name!r} must be some of {', '.join(get_args(Input))}, got {inputs!r}")
    try:
        named = {field for _, field, _, _ in string.Formatter().parse(words) if field is not None}
    except ValueError as error:
        raise UserError(f"{words!r} is no text with names in braces: {error}") from error
    if unknown := named - {*reads, "before", "all_before"}:
        raise UserError(f"the words of the training_set {name!r} name {{{min(unknown)}}}, which is not among what it reads")

    def register(choose: Choose) -> Choose:
        POLICIES.register(name, Policy(choose, words, reads, inputs), choose.__module__)
        return choose

    return register
