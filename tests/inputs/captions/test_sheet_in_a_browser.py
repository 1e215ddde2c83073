"""The page to proof-read as a browser paints it: images, badges, what is cut off."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.captions.proof_sheet import write_sheet

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars"]  # fmt: skip
STRUCK_OUT = (185, 28, 28)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="needs chromium")]


def painted(tmp_path: Path, captions: dict[str, str], width: int = 1200) -> np.ndarray:
    """[H,W,3] int: the page of four images in one colour each."""
    colours = dict(zip(captions, ["#ff0000", "#00ff00", "#0000ff", "#ff00ff"], strict=True))
    for name, colour in colours.items():
        Image.new("RGB", (300, 300), colour).save(tmp_path / f"{name}.png")
    rows = [Parts(name, f"{name}.png", "x", caption=text if name != "b" else "") for name, text in captions.items()]
    write_sheet(tmp_path / "sheet.html", "Images", tmp_path, rows, captions, lambda text: len(text.split()))
    shot = tmp_path / "shot.png"
    command = [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path / 'browser'}", f"--window-size={width},1400",
               f"--screenshot={shot}", (tmp_path / "sheet.html").as_uri()]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return np.asarray(Image.open(shot).convert("RGB")).astype(int)


def near(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - colour).max(axis=2) < 12).sum())


def rows_with(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.flatnonzero((np.abs(pixels - colour).max(axis=2) < 12).any(axis=1))


def test_every_image_is_painted_at_its_size_and_only_what_no_setting_reads_is_struck_out(tmp_path: Path) -> None:
    texts = {"a": "a short one", "b": "x " * 99 + "x", "c": "x " * 160 + "x", "d": "x " * 300 + "x"}
    pixels = painted(tmp_path, texts)
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255)):
        assert near(pixels, colour) == pytest.approx(192 * 192, rel=0.03)
    last = rows_with(pixels, (255, 0, 255))
    assert last.min() <= rows_with(pixels, STRUCK_OUT).min() <= rows_with(pixels, STRUCK_OUT).max() <= last.max()


def test_a_narrow_window_puts_the_caption_below_the_image_and_loses_nothing_at_the_side(tmp_path: Path) -> None:
    texts = dict.fromkeys("abcd", "word " * 30)
    pixels = painted(tmp_path, texts, width=500)
    assert near(pixels, (255, 0, 0)) == pytest.approx(192 * 192, rel=0.03)
    assert (pixels[:, -8:] == pixels[0, 0]).all()
