"""One reported chain for all tests of the report; a test that changes a file puts it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains import measure_and_analyse, parameters, write_chain, write_images
from pipeline.chain.params import Params, View
from pipeline.chain.paths import Layout
from pipeline.inputs.creature_drawing import draw
from pipeline.inputs.creatures import distinct_creatures
from pipeline.report import stage
from report.reported import HOSTILE, Page


@pytest.fixture(scope="session")
def params(tiny_model: Path) -> Params:
    return parameters(3, tiny_model / "clip", images_per_prompt=2, title="A chain <of> mine", neighbours=3)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Layout:
    """Three iterations of 30 prompts, two images each, with one prompt that attacks the page."""
    layout = write_chain(tmp_path_factory.mktemp("reported"), iterations=3, prompts=30, images_per_prompt=2)
    originals = [draw(creature) for creature in distinct_creatures(1, 30)]
    captions = [HOSTILE, *(f"prompt {i}" for i in range(1, 30))]
    for k in range(4):
        write_images(layout, k, originals, captions, 2 if k else 1)
    measure_and_analyse(layout, params)
    stage.run(View(params, "report"), layout)
    return layout


@pytest.fixture(scope="session")
def page(chain: Layout) -> Page:
    return Page(chain.report.read_text())
