import base64
import hashlib
import json
import re

import pytest

from pipeline.chain.paths import Layout
from pipeline.core.files import sha256_file
from pipeline.core.json_files import read_json
from report.reported import HOSTILE, Page, gridded


def test_every_image_is_inside_the_page(page: Page) -> None:
    pictures = gridded(page)
    assert len(pictures) == 30 + 3 * 60
    assert len({image["src"] for image in pictures}) == len(pictures)
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


def test_every_order_of_the_grid_has_all_rows_by_their_last_distance(page: Page) -> None:
    rows = [div for div in page.every("div") if "data-prompt" in div]
    last = [float(str(svg["data-path"]).split()[-1]) for svg in page.every("svg") if "data-path" in svg]
    orders = [list(map(int, str(button["data-order"]).split())) for button in page.every("button") if "data-order" in button]
    assert len(rows) == len(last) == 30
    assert all(sorted(order) == list(range(30)) for order in orders)
    given, worst, median, best = ([last[place] for place in order] for order in orders)
    assert given == last and worst == sorted(last, reverse=True) and best == sorted(last)
    middle = sorted(last)[14:16]
    assert set(median[:2]) == set(middle)


def test_the_drift_ends_where_the_measured_sfd_does(chain: Layout, page: Page) -> None:
    last = [float(str(svg["data-path"]).split()[-1]) for svg in page.every("svg") if "data-path" in svg]
    assert sum(last) / len(last) == pytest.approx(read_json(chain.metrics(3))["sfd"], rel=1e-3)


def test_the_map_has_a_point_for_each_prompt_and_iteration(page: Page) -> None:
    sets = [path for path in page.every("path") if path.get("class") == "dots"]
    assert [str(path["data-k"]) for path in sets] == ["0", "1", "2", "3"]
    assert [str(path["d"]).count("M") for path in sets] == [30] * 4
    (described,) = (svg for svg in page.every("svg") if "data-map" in svg)
    assert json.loads(str(described["data-map"]))[0] == [0, HOSTILE]


@pytest.mark.parametrize(
    ("title", "figure"),
    [
        ("The sets in one map", "Fig. 3b"),
        ("High-frequency power", "Fig. 4b"),
        ("Values of the last latents", "Fig. 38a"),
        ("What guidance multiplies", "Fig. 38b"),
        ("Radial power spectrum", "Fig. 39"),
        ("Angular power spectrum", "Fig. 39"),
        ("Fingerprint: autocorrelation of the residuals", "Fig. 40a"),
        ("Fingerprint: power of the residuals", "Fig. 40b"),
        ("Generalisation score", "arXiv 2509.16499"),
        ("Entropy", "arXiv 2509.16499"),
    ],
)
def test_each_analysis_names_the_figure_that_it_stands_for(page: Page, title: str, figure: str) -> None:
    assert f"{title}{figure}" in page.text


def test_each_iteration_has_its_two_fingerprints(page: Page) -> None:
    tiles = [str(image["alt"]) for image in page.every("img") if image.get("class") == "heat" and image["alt"]]
    assert tiles == ["real", "k = 1", "k = 2", "k = 3"] * 2


def test_the_script_is_the_one_that_the_policy_allows(chain: Layout, page: Page) -> None:
    script = chain.report.read_text().split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in str(page.every("meta"))


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
