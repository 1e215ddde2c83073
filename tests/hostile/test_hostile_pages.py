"""The report and the comparison as a browser parses them: whatever a pulled chain says in them is text."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from chains import measure_and_analyse, parameters, write_chain, write_images
from pipeline.chain.params import View
from pipeline.core.json_files import read_json, write_json
from pipeline.inputs.creature_drawing import draw
from pipeline.inputs.creatures import distinct_creatures
from pipeline.report import stage
from pipeline.studies.compare.groups import group_runs
from pipeline.studies.compare.page import draw_comparison, render_page
from pipeline.studies.compare.runs import read_run
from report.reported import Page
from studies.compare import stored_runs

ATTACKS = (
    '</script><script>alert("1")</script>',
    '"><img src=x onerror="alert(2)">',
    "'><svg onload=alert(3)>",
    '<a href="javascript:alert(4)">x</a>',
    '"><iframe srcdoc="<script>alert(5)</script>"></iframe>',
    "</title></style></textarea><script>alert(6)</script>",
    "<!--<script>--><meta http-equiv=refresh content='0;url=javascript:alert(7)'>",
    "]]><base href=//evil.example/>{{ 7 * 7 }}{% raw %}&lt;b&gt;&#60;script&#62;",
)
LOADING = frozenset({"iframe", "frame", "object", "embed", "applet", "base", "link", "audio", "video", "foreignobject"})
"""Elements that fetch by themselves; neither page has any."""


def assert_inert(text: str) -> Page:
    """One script, ours by its hash; no handler, no foreign address, no element that loads or redirects."""
    found = Page(text)
    assert not LOADING & {tag for tag, _ in found.elements}
    assert len(found.every("script")) == 1
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policies = [str(meta["content"]) for meta in found.every("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert [f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"] == policies
    assert not [meta for meta in found.every("meta") if meta.get("http-equiv") == "refresh"]
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("srcdoc", "action", "formaction")], tag
        addresses = [str(attributes[name]) for name in ("src", "href", "xlink:href") if name in attributes]
        assert all(address.startswith(("data:image/png", "data:image/jpeg", "#")) for address in addresses), tag
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> str:
    """A report on a chain of one iteration, all of whose texts attack."""
    layout = write_chain(tmp_path_factory.mktemp("hostile"), iterations=1, prompts=len(ATTACKS))
    originals = [draw(creature) for creature in distinct_creatures(1, len(ATTACKS))]
    for k in (0, 1):
        write_images(layout, k, originals, list(ATTACKS), 1)
    params = parameters(1, tiny_model / "clip", title=ATTACKS[5], neighbours=2)
    measure_and_analyse(layout, params)
    metrics = read_json(layout.metrics(1))
    write_json(layout.metrics(1), metrics | {"feature": metrics["feature"] | {"name": ATTACKS[0], "preprocessing": ATTACKS[2]}})
    write_json(layout.model(1) / "lineage.json", {"trainer": ATTACKS[1], "sd_scripts_commit": ATTACKS[3]})
    write_json(layout.base_record(), {"files": {}, "model": ATTACKS[4], "sha256": ATTACKS[6], "vae": ATTACKS[7]})
    stage.run(View(params, "report"), layout)
    return layout.report.read_text(encoding="utf-8")


def test_a_report_on_hostile_captions_runs_no_script_of_theirs(report: str) -> None:
    assert_inert(report)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_caption_is_read_as_it_was_written(report: str, attack: str) -> None:
    assert attack in Page(report).text


def test_a_comparison_of_hostile_runs_runs_no_script_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_runs, "PROMPTS", ATTACKS)
    runs = [read_run(stored_runs.StoredFiles(stored_runs.chain_files(cfg, feature=ATTACKS[1], title=ATTACKS[5])), ATTACKS[i])
            for i, cfg in ((0, 1.0), (2, 3.0))]  # fmt: skip
    found = assert_inert(render_page(draw_comparison(group_runs(runs), [ATTACKS[3]]), title=ATTACKS[5]))
    assert all(attack in found.text for attack in ATTACKS)
