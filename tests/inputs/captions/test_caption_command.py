"""`redifine caption`: one command from a raw folder to images, captions, parts and the page."""

from __future__ import annotations

from pathlib import Path

import pytest
import raw_sets
from click.testing import CliRunner

from pipeline.cli.captions import caption
from pipeline.core.errors import UserError
from pipeline.inputs.captions import parts
from pipeline.inputs.captions.rules import LONG, MIDDLE, SHORT


def run(*arguments: str) -> str:
    result = CliRunner().invoke(caption, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_blip_and_tagger_caption_a_raw_set_and_other_forms_need_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    from small_captioners import write_blip, write_network

    monkeypatch.chdir(tmp_path)
    raw_sets.pokemon(tmp_path / "raw")
    write_blip(tmp_path / "blip")
    write_network(tmp_path / "wd")
    common = ("raw", "--dataset", "pokemon", "--out", "out", "--size", "32", "--threshold", "0.2")
    run(*common, "--blip", "blip", "--tagger", "wd", "--all-forms", "--device", "cpu")
    text, found = (tmp_path / "out/0001.txt").read_text(), parts.load(tmp_path / "out")["0001"]
    assert found.blip.keys() == {SHORT.label, LONG.label} and found.tags
    assert text.startswith(found.blip[LONG.label] + ", ultra-detailed, ") and text.endswith(", Bulbasaur\n")
    run(*common, "--form", "short")
    assert (tmp_path / "out/0001.txt").read_text().strip() == found.blip[SHORT.label]
    with pytest.raises(UserError, match=f"3 images have no BLIP's text of {MIDDLE.label}"):
        run(*common, "--window", "25-50")


def test_one_command_goes_from_raw_folder_to_captions_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw = raw_sets.butterfly(tmp_path / "raw")
    (raw / "leedsbutterfly/images/0030002.png").write_bytes(b"broken")
    command = [str(raw), "--dataset", "butterfly", "--out", "out", "--parts", "description", "--size", "16"]
    done = CliRunner().invoke(caption, command, catch_exceptions=False)
    assert "0030002.png cannot be read" in done.output
    assert "2 captions (the paper has 832) in out; 1 problem(s), all in logs/caption_0.log; captions/index.html" in done.output
    assert (tmp_path / "logs/caption_0.log").read_text().startswith("0030002.png cannot be read")
    assert (tmp_path / "out/0040001.txt").read_text() == "wings scalloped\n"
    assert "wings scalloped" in (tmp_path / "captions/index.html").read_text()


def test_a_named_set_needs_a_folder_to_write_to(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--dataset pokemon needs --out"):
        CliRunner().invoke(caption, [str(tmp_path), "--dataset", "pokemon"], catch_exceptions=False)
