import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chains import measure_and_analyse, parameters, write_chain, write_images

from pipeline.errors import UserError
from pipeline.miniature.creatures import distinct_creatures, draw
from pipeline.params import Params, View
from pipeline.paths import Layout
from pipeline.report import stage
from pipeline.storage import read_json, sha256_file, write_text

HOSTILE = '</script><img src=x onerror="alert(1)"> {{ 7 * 7 }} & "quotes"'


@pytest.fixture(scope="module")
def params(tiny_model: Path) -> Params:
    return parameters(3, tiny_model / "clip", images_per_prompt=2, title="A chain <of> mine", neighbours=3)


@pytest.fixture(scope="module")
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


class Page(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(chain: Layout) -> Page:
    return Page(chain.report.read_text())


def test_every_image_is_inside_the_page(page: Page) -> None:
    pictures = [image for image in page.every("img") if "id" not in image]
    assert len(pictures) == 30 + 3 * 60
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in pictures)


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    assert not page.every("link") and not page.every("iframe")
    assert all("src" not in script for script in page.every("script"))
    assert not [
        url
        for _, attributes in page.elements
        for url in (attributes.get("src"), attributes.get("href"))
        if url and "://" in url
    ]
    assert "default-src 'none'" in str(page.every("meta"))


def test_prompts_and_title_are_text_and_never_markup(page: Page) -> None:
    assert HOSTILE in page.text
    assert "A chain <of> mine" in page.text
    assert len(page.every("script")) == 1
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]


def test_only_the_first_prompts_are_shown_until_asked(page: Page) -> None:
    rows = [
        str(div["class"])
        for div in page.every("div")
        if str(div.get("class")).startswith("row") and "head" not in str(div["class"])
    ]
    assert rows.count("row") == 24 and rows.count("row more") == 6
    assert "Show all 30 prompts" in page.text


def test_the_lineage_has_the_hash_of_every_link(chain: Layout, page: Page) -> None:
    titles = {str(code["title"]) for code in page.every("code")}
    assert {sha256_file(chain.manifest(k)) for k in range(4)} <= titles
    assert {sha256_file(chain.lora(k)) for k in range(1, 4)} <= titles
    assert read_json(chain.base_record())["sha256"] in titles


def test_the_headline_has_fid_collapse_rate_and_floor(chain: Layout, page: Page) -> None:
    last = read_json(chain.metrics(3))
    for value in (last["fid_1"], last["fid"], last["collapse_rate"], last["fid_floor"]):
        assert any(abs(float(shown) - value) <= 0.005 * abs(value) + 1e-12 for shown in re.findall(r"\d+\.\d+", page.text)), (
            value
        )


def test_the_summary_is_the_last_iteration(chain: Layout) -> None:
    last, summary = read_json(chain.metrics(3)), read_json(chain.summary)
    assert set(summary) == {"FID", "FID_1", "collapse_rate", "recall", "clip_score", "SFD", "power_ratio"}
    assert (summary["FID"], summary["collapse_rate"], summary["SFD"]) == (last["fid"], last["collapse_rate"], last["sfd"])


def test_plots_have_a_row_for_each_iteration_and_the_mean_loss(chain: Layout) -> None:
    assert [row["k"] for row in read_json(chain.plot("metrics"))] == [1, 2, 3]
    losses = [row for row in read_json(chain.plot("loss")) if row["k"] == 2]
    raw = [float(line.split(",")[1]) for line in chain.losses(2).read_text().splitlines()[1:]]
    assert sum(row["loss"] for row in losses) / len(losses) == pytest.approx(sum(raw) / len(raw), rel=0.05)


def test_another_run_writes_the_same_bytes(chain: Layout, params: Params) -> None:
    outputs = [chain.report, chain.summary, chain.plot("metrics"), chain.plot("loss")]
    before = [path.read_bytes() for path in outputs]
    stage.run(View(params, "report"), chain)
    assert [path.read_bytes() for path in outputs] == before


def test_no_path_of_this_machine_is_in_the_page(chain: Layout) -> None:
    assert str(chain.root) not in chain.report.read_text()


def test_one_iteration_is_a_chain_too(chain: Layout, params: Params, tiny_model: Path) -> None:
    single = parameters(1, tiny_model / "clip")
    before = chain.report.read_bytes()
    stage.run(View(single, "report"), chain)
    text = Page(chain.report.read_text()).text
    assert "After one iteration" in text and "collapse rate" not in text
    assert read_json(chain.summary)["collapse_rate"] is None
    stage.run(View(params, "report"), chain)
    assert chain.report.read_bytes() == before


def test_iterations_may_differ_in_shape(chain: Layout, params: Params) -> None:
    manifest, analysis = chain.manifest(2), chain.analysis(2)
    saved = {path: path.read_text() for path in (manifest, analysis)}
    write_text(manifest, "".join(line + "\n" for line in saved[manifest].splitlines()[1:-7]))
    write_text(analysis, json.dumps(read_json(analysis) | {"diff": [1.0, 2.0]}))
    stage.run(View(params, "report"), chain)
    page = Page(chain.report.read_text())
    assert len([image for image in page.every("img") if "id" not in image]) == 30 + 3 * 60 - 8
    for path, text in saved.items():
        write_text(path, text)


@pytest.mark.parametrize(
    "missing", ["models/M_2/loss.csv", "models/M_2/lora.safetensors", "analysis/3.json", "metrics/1.json", "data/D_1/00003.png"]
)
def test_a_missing_piece_is_named(chain: Layout, params: Params, missing: str) -> None:
    path = chain.root / missing
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(UserError, match=missing):
        stage.run(View(params, "report"), chain)
    path.write_bytes(content)


def test_a_loss_table_of_something_else_is_reported(chain: Layout, params: Params) -> None:
    saved = chain.losses(1).read_text()
    write_text(chain.losses(1), "epoch,loss\n1,0.5\n")
    with pytest.raises(UserError, match="columns step and loss"):
        stage.run(View(params, "report"), chain)
    write_text(chain.losses(1), saved)
