"""A schedule, a training-set policy and a measure of one's own: one file each in extensions/, and nothing else touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.chain import params
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json, read_jsonl
from pipeline.methods.measures import MEASURES
from pipeline.methods.policies import POLICIES
from pipeline.methods.schedules import SCHEDULES, GuidanceSettings, make_schedule
from project import ROOT
from test_chain import dvc, environment, git, new_project, redifine, set_params, would_run

EXAMPLES = {"schedules": "halves", "policies": "newest_and_real", "measures": "spread"}
"""What the README.md of each folder shows how to write."""


def example(kind: str) -> str:
    """The code in extensions/KIND/README.md."""
    return (ROOT / "extensions" / kind / "README.md").read_text().split("```python\n")[1].split("```")[0]


def write_examples(project: Path) -> None:
    for kind, name in EXAMPLES.items():
        (project / f"extensions/{kind}").mkdir(parents=True, exist_ok=True)
        (project / f"extensions/{kind}/{name}.py").write_text(example(kind))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A finished chain that runs the examples."""
    project = new_project(tmp_path_factory.mktemp("extended") / "project", tiny_model)
    write_examples(project)
    set_params(project, schedule="halves", training_set="newest_and_real")
    redifine(project, "repro")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "run")
    return project


def test_the_chain_draws_with_the_schedule_and_finetunes_on_the_policys_images(extended: Path) -> None:
    from PIL import Image

    assert "halves(7.5, 1)" in Image.open(extended / "data/D_2/00003.png").text["parameters"]
    assert [sorted(row["k"] for row in read_jsonl(extended / f"data/T_{k}.jsonl")) for k in (1, 2)] == [
        [0] * 8,
        [0] * 8 + [1] * 8,
    ]


def test_the_measures_are_in_the_metrics_and_their_summaries(extended: Path) -> None:
    drawn, real = (read_json(extended / f"metrics/{k}.json") for k in (2, 0))
    assert drawn["spread"] > 0 and "spread" not in real
    assert 0 < drawn["brightness"] < 1 and 0 < real["brightness"] < 1
    assert read_json(extended / "report/summary.json")["spread"] == drawn["spread"]
    assert read_json(extended / "plots/metrics.json")[1]["brightness"] == drawn["brightness"]


def test_the_report_says_what_was_run_and_draws_the_measures(extended: Path) -> None:
    page = (extended / "report/index.html").read_text()
    assert "Images are drawn in three steps with guidance 7.5 in the first half, 1 in the second." in page
    assert "finetunes the base model (models/miniature) afresh on the images of the iteration before, and the real" in page
    assert "<h3>Spread</h3><p>Mean distance of the images from their centre: higher is better.</p>" in page
    assert "<h3>Brightness</h3>" in page


def test_compare_draws_the_measures_and_has_them_in_its_table(extended: Path) -> None:
    redifine(extended, "compare", "HEAD", "--metric", "spread", "--out", "compare/one.html")
    page = (extended / "compare/one.html").read_text()
    assert "<h3>Spread</h3>" in page and "<h3>FID</h3>" not in page
    redifine(extended, "compare", "HEAD", "--out", "compare/all.html")
    assert "<h3>Brightness</h3>" in (extended / "compare/all.html").read_text()
    [setting] = json.loads(redifine(extended, "compare", "HEAD", "--json"))["settings"]
    assert setting["measures"]["Spread_K"]["mean"] == read_json(extended / "metrics/2.json")["spread"]


def test_lineage_and_cards_say_what_the_methods_read(extended: Path) -> None:
    assert "cfg 7.5, schedule halves" in (text := redifine(extended, "lineage", "2")) and "cfg_end 1.0" in text
    redifine(extended, "export", "2", "--to", "lora", "--out", "card")
    [card] = (extended / "card").rglob("README.md")
    assert "finetuned on synthetic images of generation 1, and the real ones besides made M_2" in card.read_text()


def test_the_help_lists_the_schedule(extended: Path) -> None:
    assert "interval|halves]" in "".join(redifine(extended, "sample", "--help").split())


def test_two_processes_draw_with_the_schedule(extended: Path) -> None:
    (extended / "p.txt").write_text("one creature\nanother creature\n")
    drawn = [
        redifine(extended, "sample", "--prompts", "p.txt", "--schedule", "halves", "--steps", "2", "--batch", "1",
                 "--processes", count, "--out", f"samples/{count}")
        for count in ("1", "2")
    ]  # fmt: skip
    assert len(drawn) == 2
    for name in ("00000.png", "00001.png"):
        assert (extended / "samples/1" / name).read_bytes() == (extended / "samples/2" / name).read_bytes()


def test_verify_computes_an_iteration_with_them_again(extended: Path) -> None:
    assert "files byte-equal, 0 within the tolerance, 0 beyond it" in redifine(extended, "verify", "2")


@pytest.mark.parametrize(
    ("kind", "reruns", "kept"),
    [
        ("schedules", {"sample@1", "report"}, {"prepare", "curate@1", "train@1", "reference", "measure@1"}),
        ("policies", {"curate@1", "report"}, {"prepare", "train@1", "sample@1", "measure@1"}),
        ("measures", {"reference", "measure@1", "report"}, {"prepare", "curate@1", "train@1", "sample@1"}),
    ],
)
def test_a_changed_extension_makes_its_stages_stale_alone(extended: Path, kind: str, reruns: set[str], kept: set[str]) -> None:
    file = extended / f"extensions/{kind}/{EXAMPLES[kind]}.py"
    before = file.read_text()
    try:
        file.write_text(before + "\n# changed\n")
        running = would_run(extended)
    finally:
        file.write_text(before)
    assert reruns <= running and not kept & running


def test_a_broken_file_ends_a_stage_in_one_sentence(extended: Path) -> None:
    file = extended / "extensions/measures/broken.py"
    lines = (
        "from pipeline.methods.measures import measure",
        "@measure('broken', 'B', 'b')",
        "def f(sets):",
        "    1 / 0",
    )
    file.write_text("\n".join(lines))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "measure", "--k", "1"],
            cwd=extended, env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        file.unlink()
    assert done.returncode == 2
    assert done.stderr.endswith("Error: extensions/measures/broken.py, line 4: ZeroDivisionError: division by zero\n")
    assert "Traceback" not in done.stderr
    dvc(extended, "checkout")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the current folder."""
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    return tmp_path


def write(project: Path, kind: str, name: str, text: str) -> None:
    (project / "extensions" / kind).mkdir(parents=True, exist_ok=True)
    (project / "extensions" / kind / name).write_text(text)


def values(**changes: object) -> dict[str, object]:
    return params.Params(iterations={"1": {"prev": 0}}).model_dump() | changes


def test_each_is_a_choice_of_its_parameter_and_only_in_its_project(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_examples(project)
    assert params.check(values(schedule="halves", training_set="newest_and_real")).schedule == "halves"
    assert (list(SCHEDULES)[-1], list(POLICIES)[-1]) == ("halves", "newest_and_real")
    assert list(MEASURES)[-2:] == ["spread", "brightness"]
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UserError, match="schedule must be one of 'constant', .* or 'interval', got 'halves'"):
        params.check(values(schedule="halves"))


SQUARE = """
from dataclasses import dataclass
from pipeline.methods.schedules import schedule

@schedule({name!r}, reads=({reads!r},))
@dataclass(frozen=True)
class Square:
    s: float
    def scale(self, step, steps, sigma):
        return self.s * (1 - step / steps) ** 2
    def describe(self):
        return "square"
    def in_words(self):
        return "square guidance"
"""


def test_a_schedule_reads_what_it_says(project: Path) -> None:
    write(project, "schedules", "square.py", SQUARE.format(name="square", reads="cfg_end"))
    assert make_schedule(GuidanceSettings("square", 7.5, 2.0, 4.0, 0.1, 9.0)).scale(1, 2, 0.0) == 1.0


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (
            "schedules",
            "import nonsense_\n",
            "extensions/schedules/x.py, line 1: ModuleNotFoundError: No module named 'nonsense_'",
        ),
        ("schedules", "x = (\n", "extensions/schedules/x.py, line 1: SyntaxError: '(' was never closed"),
        ("schedules", "raise SystemExit(3)\n", "extensions/schedules/x.py, line 1: SystemExit: 3"),
        ("schedules", "x = 1\n", "extensions/schedules/x.py registers no schedule"),
        ("schedules", SQUARE.format(name="linear", reads="cfg"), "there is a schedule called 'linear' already"),
        ("schedules", SQUARE.format(name="Square 2", reads="cfg"), "small letters, digits and '_' alone, got 'Square 2'"),
        ("schedules", SQUARE.format(name="square", reads="steps"), "the schedule 'square' cannot read 'steps', only cfg,"),
        ("schedules", SQUARE.format(name="square", reads="cfg").replace("in_words", "words"), "lacks the method in_words"),
        ("policies", "from pipeline.methods.policies import policy\npolicy('x', words='on {cfg}')\n", "the words of"),
        ("measures", "from pipeline.methods.measures import measure\nmeasure('n', 'N', 'n')(len)\n", "cannot be called 'n'"),
        ("measures", "from pipeline.methods.measures import measure\nmeasure('x', 'N', 'n', unti='m')(len)\n", "'unti'"),
        (
            "measures",
            "from pipeline.methods.measures import measure\nmeasure('x', 'N', 'n', pages=('nonsense',))(len)\n",
            "the measure 'x' must have as its pages some of report,",
        ),
        (
            "policies",
            "from pipeline.methods.policies import policy\npolicy('x', words='on all', inputs=('nonsense',))\n",
            "the inputs of the training_set 'x' must be some of real, previous, features, got ('nonsense',)",
        ),
    ],
)
def test_a_broken_file_is_one_sentence(project: Path, kind: str, text: str, sentence: str) -> None:
    write(project, kind, "x.py", text)
    with pytest.raises(UserError) as error:
        list({"schedules": SCHEDULES, "policies": POLICIES, "measures": MEASURES}[kind])
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(f"extensions/{kind}/x.py")


def test_a_name_that_two_files_give_is_refused(project: Path) -> None:
    for name in ("a.py", "b.py"):
        write(project, "schedules", name, SQUARE.format(name="square", reads="cfg"))
    with pytest.raises(UserError, match=r"extensions/schedules/b\.py, line .*there is a schedule called 'square' already"):
        list(SCHEDULES)


def test_parameters_load_without_torch_or_numpy(project: Path) -> None:
    write_examples(project)
    (project / "params.yaml").write_text(json.dumps(values(schedule="halves")))
    code = "import sys; from pipeline.chain import params; params.load(); print({'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout == "set()\n", done.stderr
