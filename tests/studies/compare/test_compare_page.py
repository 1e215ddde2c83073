import base64
import hashlib
import html
import io
import json
import re

import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.studies.compare.groups import Setting, group_runs
from pipeline.studies.compare.image_columns import image_uri, representative_runs, shown_iterations, side_by_side
from pipeline.studies.compare.page import draw_comparison, render_page, table_values
from pipeline.studies.compare.runs import ComparedRun, TableRow, read_image, read_manifest, read_run, runs_from_rows
from studies.compare.stored_runs import PROMPTS, StoredFiles, chain_files


def run(name: str, **chain: object) -> ComparedRun:
    return read_run(StoredFiles(chain_files(**chain)), name)  # type: ignore[arg-type]


def settings(*runs: ComparedRun) -> list[Setting]:
    return group_runs(runs)


@pytest.fixture(scope="module")
def whole() -> str:
    nasty = '</script><script>alert("name")</script>'
    runs = [
        run(nasty, cfg=1.0, title="</title><script>alert(1)</script>"),
        run("b", cfg=1.0, seed=1),
        run("c", cfg=3.0, last=4, planned=4),
    ]
    return render_page(draw_comparison(settings(*runs), ["<i>mind</i> this"]), title="<script>alert(2)</script>")


def test_nothing_that_a_run_says_becomes_markup(whole: str) -> None:
    assert whole.count("<script") == 1 and "alert(" in whole
    assert "<i>" not in whole and "<b>dog" not in whole
    assert all(html.escape(prompt, quote=False) in whole.replace("&#34;", '"') for prompt in PROMPTS)


def test_the_page_asks_for_nothing_outside_and_allows_its_own_script_alone(whole: str) -> None:
    assert all(uri.startswith("data:image/") for uri in re.findall(r'(?:src|href)="([^"]*)"', whole))
    script = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(whole)
    assert "url(" not in whole and "@import" not in whole


def test_the_page_has_every_part(whole: str) -> None:
    for heading in (
        "In numbers",
        "Good at once, or for long",
        "Iteration by iteration",
        "The same prompts",
        "Where the images go",
    ):
        assert f"<h2>{heading}</h2>" in whole
    assert "10.5 ± 6.4" in whole  # FID_1 of seeds 0 and 1: 10 and 11; 12.706 * 0.7071 / sqrt(2) = 6.353


def test_the_same_runs_give_the_same_text(whole: str) -> None:
    made = [settings(run("a", cfg=1.0), run("b", cfg=2.0)) for _ in range(2)]
    first, second = (render_page(draw_comparison(found)) for found in made)
    assert first == second


def test_runs_of_a_table_have_a_page_without_images() -> None:
    rows = [TableRow(arm, 0, k, {"fid": fid * k}) for arm, fid in (("a", 1.0), ("b", 2.0)) for k in (1, 2)]
    found = draw_comparison(group_runs(runs_from_rows(rows)))
    assert found.prompt_rows == [] and found.panels == [] and found.notices == []
    assert "The same prompts" not in render_page(found)


def test_numbers_are_json_and_those_of_the_runs() -> None:
    (one,) = json.loads(json.dumps(table_values(settings(run("a", cfg=1.0), run("b", cfg=1.0, seed=4)))))
    assert one["measures"]["FID_K"]["mean"] == 22.0 and one["measures"]["FID_K"]["n"] == 2
    assert one["measures"]["collapse rate"] == {"mean": 10.0, "half": 0.0, "n": 2}
    assert one["measures"]["recall_K"] is None
    assert [member["seed"] for member in one["runs"]] == [0, 4]


def test_the_grid_shows_what_each_run_drew_for_one_prompt() -> None:
    found = settings(run("a", cfg=1.0, last=4, planned=4), run("b", cfg=2.0))
    blocks, lines = side_by_side(found, representative_runs(found))
    assert [(block.name, block.ks) for block in blocks] == [
        ("real", (0,)),
        ("cfg=1, iterations=4", (1, 2, 4)),
        ("cfg=2, iterations=2", (1, 2)),
    ]
    assert {line.prompt for line in lines} == set(PROMPTS)
    for line in lines:
        assert [[grey(uri) for uri in cell] for cell in line.cells] == [[0], [40, 80, 160], [40, 80]]


def grey(uri: str | None) -> int:
    assert uri is not None
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB").getpixel((0, 0))[0]  # type: ignore[index]


def test_runs_of_one_seed_stand_side_by_side() -> None:
    found = settings(run("a0", cfg=1.0), run("a1", cfg=1.0, seed=1), run("b1", cfg=2.0, seed=1))
    assert [member.name for member in representative_runs(found)] == ["a1", "b1"]


def test_half_way_is_shown_once() -> None:
    assert [shown_iterations(last) for last in (1, 2, 3, 6, 12)] == [(0, 1), (0, 1, 2), (0, 1, 3), (0, 1, 3, 6), (0, 1, 6, 12)]


def test_missing_images_are_named_and_the_rest_is_drawn() -> None:
    files = {name: content for name, content in chain_files(1.0).items() if not name.startswith(("data/D_1", "features/2"))}
    found = draw_comparison(settings(read_run(StoredFiles(files), "a")))
    assert [notice.split(":")[0] for notice in found.notices] == ["No pictures", "No map"]
    assert found.figures


def test_an_exchanged_image_is_refused() -> None:
    files = chain_files(1.0)
    files["data/D_1/00000.png"] += b" "
    damaged = read_run(StoredFiles(files), "a")
    with pytest.raises(UserError, match="D_1/00000.png of a is not the image that its manifest.jsonl records"):
        read_image(damaged, 1, read_manifest(damaged, 1)[0])


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"file": "00000.png"}'])
def test_a_damaged_manifest_ends_in_a_sentence(line: bytes) -> None:
    damaged = read_run(StoredFiles(chain_files(1.0) | {"data/D_1/manifest.jsonl": line}), "a")
    with pytest.raises(UserError, match=r"D_1/manifest.jsonl of a, line 1 .*; run its stage again"):
        read_manifest(damaged, 1)


def test_a_manifest_that_is_no_utf8_ends_in_a_sentence() -> None:
    files = chain_files(1.0)
    files["data/D_1/manifest.jsonl"] = files["data/D_1/manifest.jsonl"].replace(b"a red cat", b"a red \xff cat")
    with pytest.raises(UserError, match="manifest.jsonl of a, line 1 must have .* plain text"):
        read_manifest(read_run(StoredFiles(files), "a"), 1)


def test_large_images_are_shrunk_and_text_is_no_image() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (512, 256)).save(buffer, "PNG")
    small = Image.open(io.BytesIO(base64.b64decode(image_uri(buffer.getvalue(), "x").split(",")[1])))
    assert (small.format, small.size) == ("JPEG", (192, 96))
    with pytest.raises(UserError, match="x is not a readable image"):
        image_uri(b"text", "x")


def test_a_run_without_metrics_says_so() -> None:
    with pytest.raises(UserError, match="early has no metrics .*dvc repro.* commit dvc.lock"):
        read_run(StoredFiles(chain_files(1.0, last=0)), "early")


def test_a_chain_that_ended_early_is_read_as_far_as_it_goes() -> None:
    found = run("early", cfg=1.0, last=2, planned=6)
    assert (found.last, found.planned, found.value("fid", 2)) == (2, 6, 20.0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("params.yaml", b"- 1", "params.yaml of a has no mapping 'iterations'"),
        ("params.yaml", b"a: [", "params.yaml of a cannot be read as YAML"),
        ("metrics/1.json", b"{", "metrics/1.json of a is not valid JSON"),
        ("metrics/1.json", b"[]", "metrics/1.json of a must hold a JSON object"),
    ],
)
def test_damaged_files_end_in_a_sentence(name: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_run(StoredFiles(chain_files(1.0) | {name: content}), "a")


def test_weights_that_changed_at_one_path_are_other_features() -> None:
    lock = "stages:\n  reference:\n    deps:\n    - {{path: models/miniature/clip, md5: {}}}\n"
    one, other = (
        read_run(StoredFiles(chain_files(1.0) | {"dvc.lock": lock.format(md5).encode()}), md5) for md5 in ("aa", "bb")
    )
    assert one.features_of != other.features_of
