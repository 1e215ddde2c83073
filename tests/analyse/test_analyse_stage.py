from pathlib import Path

import numpy as np
import pytest
from chains import STEPS, parameters, write_chain

from pipeline.analyse import stage
from pipeline.errors import UserError
from pipeline.measure.power import high_frequency_power
from pipeline.params import View
from pipeline.paths import Layout
from pipeline.storage import load_image, load_tensors, read_json

PARAMS = View(parameters(2), "analyse")


@pytest.fixture
def chain(tmp_path: Path) -> Layout:
    layout = write_chain(tmp_path, iterations=2, prompts=70)
    stage.run(PARAMS, 2, layout)
    return layout


def test_diff_is_the_mean_over_images_at_each_step(chain: Layout) -> None:
    expected = load_tensors(chain.traces(2))[0]["diff_norm"].double().mean(dim=0).numpy()
    np.testing.assert_allclose(read_json(chain.analysis(2))["diff"], expected, rtol=1e-6)
    assert len(expected) == STEPS


def test_latents_of_every_image_are_counted(chain: Layout) -> None:
    latents = load_tensors(chain.traces(2))[0]["latents"].double()
    assert read_json(chain.analysis(2))["latents"]["variance"] == pytest.approx(float(latents.var(correction=0)))


def test_d_k_and_d_0_are_both_analysed(chain: Layout) -> None:
    analysis = read_json(chain.analysis(2))
    assert sum(analysis["spectrum"]["radial"][10:]) > sum(analysis["spectrum_real"]["radial"][10:])
    expected = np.mean([high_frequency_power(load_image(path)) for path in sorted(chain.images(0).glob("*.png"))])
    assert analysis["spectrum_real"]["power"] == pytest.approx(expected)


def test_another_run_writes_the_same_bytes(chain: Layout) -> None:
    before = chain.analysis(2).read_bytes()
    stage.run(PARAMS, 2, chain)
    assert chain.analysis(2).read_bytes() == before


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_trace_that_cannot_be_read_is_named(chain: Layout, damage: str) -> None:
    content = chain.traces(2).read_bytes()
    chain.traces(2).unlink()
    if damage == "truncated":
        chain.traces(2).write_bytes(content[:100])
    with pytest.raises(UserError, match=r"traces/2\.safetensors"):
        stage.run(PARAMS, 2, chain)
