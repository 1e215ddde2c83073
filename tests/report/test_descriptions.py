from typing import Any

import pytest

from chains import parameters
from pipeline.chain.params import View
from pipeline.report.descriptions import describe_outcome, describe_parameters


def described(iterations: int = 6, prompts: int = 100, **changes: Any) -> str:
    return " ".join(describe_parameters(View(parameters(iterations, **changes), "report"), prompts))


def test_the_default_chain_reads_as_a_description() -> None:
    text = described()
    assert "Six iterations over 100 prompts, at 64 × 64 pixels" in text
    assert "guidance 7.5 at every step" in text
    assert "condition drop is off" in text
    assert "ReDiFine" not in text


def test_both_switches_together_are_named_redifine() -> None:
    assert "ReDiFine" in described(condition_drop=0.2, schedule="exponential")
    assert "ReDiFine" not in described(condition_drop=0.2)
    assert "ReDiFine" not in described(schedule="exponential")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images_per_prompt": 5}, "five images each"),
        ({"training_set": "mix", "real_fraction": 0.9}, "its own real one with probability 0.9"),
        ({"training_set": "accumulate"}, "the real ones included"),
        ({"start_from": "previous"}, "the model of the iteration before"),
        ({"train_parts": "unet"}, "the U-Net only"),
        ({"condition_drop": 0.2}, "without its caption with probability 0.2 (condition drop)"),
        ({"caption_dropout": 0.1}, "without its caption with probability 0.1 (kohya’s caption dropout)"),
        ({"schedule": "linear", "cfg_end": 1.5}, "in a line from 7.5 to 1.5"),
        ({"schedule": "interval"}, "noise levels from 0.28 to 5.42 only"),
        ({"dataset": "folder", "folder": "my/pictures"}, "the images of my/pictures"),
        ({"real_noise": 0.1}, "Gaussian noise of 0.1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_every_change_is_described(changes: dict[str, Any], said: str) -> None:
    assert said in described(**changes)
    assert said not in described()


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (100.0, 340.0, "grew 3.4-fold"),
        (100.0, 101.0, "hardly changed"),
        (100.0, 50.0, "fell to 50%"),
        (0.0, 1.0, "grew from nothing"),
    ],
)
def test_the_outcome_is_described(first: float, last: float, said: str) -> None:
    assert said in describe_outcome(first, last, 20.0, 6)
