"""Captions that a chain would cut: counted as its model reads them, named, and refused where nobody wants them cut."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before transformers)

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from transformers import CLIPTokenizer

from pipeline.chain import params
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl
from pipeline.diffusion.models import load_base
from pipeline.inputs.caption_lengths import caption_lengths, cut_captions
from pipeline.inputs.creature_drawing import write_folder
from pipeline.miniature.tokenizer import train_tokenizer
from pipeline.prepare import stage
from project import ROOT

LONG = "a round red creature, " * 60


def test_a_caption_is_cut_exactly_where_the_model_no_longer_reads_it(tiny_model: Path) -> None:
    model = load_base(tiny_model)
    words = ["a", "round", "red", "creature", "two", "blue", "eyes", "horns", "and", "tail", "ünïcode", "🦊"]
    texts = [" ".join(words[(start + i) % len(words)] for i in range(count)) for start in range(3) for count in range(8, 60)]
    lengths = caption_lengths(tiny_model, texts)
    assert min(lengths) < 75 < max(lengths) and 75 in lengths
    for text, length in zip(texts, lengths, strict=True):
        # One more token makes a difference as long as there is room for it.
        same = torch.equal(model.tokenize([text]), model.tokenize([f"{text} a"]))
        assert same == (length >= 75), (text, length)


def test_of_two_tokenizers_the_longer_count_is_taken(tmp_path: Path) -> None:
    texts = ["a round red creature", "horns and a tail"]
    for part, order in (("tokenizer", 1), ("tokenizer_2", -1)):
        train_tokenizer([texts[::order][0]] * 3, tmp_path / part, merges=40)
    (tmp_path / "text_encoder_2").mkdir()
    counts = [
        [len(ids) - 2 for ids in CLIPTokenizer.from_pretrained(tmp_path / part)(texts).input_ids]
        for part in ("tokenizer", "tokenizer_2")
    ]
    assert counts[0][0] < counts[1][0] and counts[1][1] < counts[0][1], "each knows the words of one text"
    assert caption_lengths(tmp_path, texts) == [counts[1][0], counts[0][1]]


@pytest.mark.parametrize(("limit", "cut"), [(75, 334), (150, 259), (225, 184)])
def test_it_is_said_how_much_is_cut(tiny_model: Path, limit: int, cut: int) -> None:
    (one,) = caption_lengths(tiny_model, ["eyes"])
    text = " ".join(["eyes"] * (409 // one)) + " a" * (409 % one)
    assert cut_captions(tiny_model, [("x", text), ("y", "eyes")], limit) == [
        f"x has a caption of 409 tokens, {cut} more than max_token_length {limit}"
    ]


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., View]:
    """A project with a folder of four pictures, of which one has a long caption; returns what makes prepare's parameters."""
    monkeypatch.chdir(tmp_path)
    write_folder(Path("raw/mine"), 4, seed=1)
    Path("raw/mine/creature_00002.txt").write_text(LONG)
    values = params.load(ROOT / "params.yaml").model_dump()
    values |= {"model": str(tiny_model), "dataset": "folder", "folder": "raw/mine", "prompts": None}
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())

    def view(**changes: object) -> View:
        from pipeline.chain import presets

        presets.assign({name: values[name] for name in ("model", "dataset", "folder", "prompts")} | changes)
        return View(params.load(), "prepare")

    return view


def test_prepare_refuses_and_writes_nothing(project: Callable[..., View]) -> None:
    with pytest.raises(UserError, match=r"1 caption\(s\) would be cut off; shorten them, set max_token_length to 150 or 225, "
                       "or set cut_captions to true to have them cut: creature_00002 has a caption of"):  # fmt: skip
        stage.run(project(), Layout())
    assert not Path("data").exists()


def test_at_the_most_windows_there_is_no_more_to_set(project: Callable[..., View]) -> None:
    with pytest.raises(UserError, match="shorten them, or set cut_captions"):
        stage.run(project(max_token_length=225), Layout())


@pytest.mark.parametrize("wish", [{"cut_captions": True}, {"strict": False}], ids=["wanted", "not strict"])
def test_where_it_is_wanted_the_image_stays_and_the_cut_is_named(
    project: Callable[..., View], capsys: pytest.CaptureFixture[str], wish: dict[str, object]
) -> None:
    stage.run(project(**wish), Layout())
    assert len(read_jsonl(Layout().prompts)) == 4
    said = capsys.readouterr().err
    assert "1 caption(s) are cut off in training and sampling: creature_00002 has a caption of" in said
    assert "cut: creature_00002 has a caption of" in Layout().log("prepare", 0).read_text()


@pytest.mark.parametrize(
    ("wish", "problems"), [({}, 1), ({"cut_captions": True}, 0), ({"prompt_form": "full", "max_token_length": 225}, 1)]
)
def test_dataset_check_agrees_with_prepare(project: Callable[..., View], wish: dict[str, object], problems: int) -> None:
    view = project(**wish)
    checked = CliRunner().invoke(main, ["dataset", "check", "folder", "raw/mine", "--strict"])
    assert "creature_00002 has a caption of" in checked.output
    assert f"4 usable images at 64x64, as prepare takes them; {problems} problem(s)" in checked.output
    assert checked.exit_code == (2 if problems else 0)
    if problems:
        with pytest.raises(UserError, match="would be cut off"):
            stage.run(view, Layout())
    else:
        stage.run(view, Layout())
