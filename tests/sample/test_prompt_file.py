"""Prompt files of sd-scripts: what they mean there, or a sentence; and the images that a file's options give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.chain import paths
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl
from pipeline.sample.own_prompts import sample_prompts
from pipeline.sample.png import parse_parameters
from pipeline.sample.prompt_file import Prompt, read_prompts
from project import ROOT

FILES = {
    "mixed.txt": "# comment\na red fox --n low quality, blurry --w 64 --h 96 --d 7 --l 5.5 --s 12\n\nplain prompt\n",
    "cases.txt": "a cat --N ugly --W 128 --L 1 --D 0\na dog, well-lit --s 3 --s 4\n#\n#b\nthree - dashes --h 256\n",
    "windows.txt": "one --d 1\r\n# two\r\nthree --d 3 \r\n",
    "list.json": '["a fox --d 3 --n bad", {"prompt": "a dog", "width": 64, "scale": 2, "negative_prompt": "cat", "seed": 9}]',
    "table.toml": '[prompt]\nwidth = 64\nheight = 128\nscale = 7.5\n[[prompt.subset]]\nprompt = "a fox"\nseed = 1\n'
    '[[prompt.subset]]\nprompt = "a dog"\nnegative_prompt = "cat"\nsample_steps = 5\n',
}
VENDORED = {"prompt": "text", "negative_prompt": "negative", "width": "width", "height": "height", "seed": "seed",
            "scale": "cfg", "sample_steps": "steps"}  # fmt: skip
SCRIPT = """
import pipeline.core.compat, json, sys
from library.train_util import load_prompts
print("FOUND" + json.dumps([load_prompts(name) for name in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    for name, text in FILES.items():
        (folder / name).write_bytes(text.encode())
    return folder


@pytest.mark.skipif(paths.sd_scripts(ROOT) is None, reason="sd-scripts is not here: run 'make vendor'")
def test_files_mean_what_sd_scripts_takes_them_for(folder: Path) -> None:
    files = [str(folder / name) for name in FILES]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{paths.sd_scripts(ROOT)}", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *files], env=environment, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.partition("FOUND")[2])
    for file, found in zip(files, theirs, strict=True):
        expected = [{VENDORED[key]: value for key, value in row.items() if key != "enum"} for row in found]
        ours = [{key: value for key, value in vars(prompt).items() if value is not None} for prompt in read_prompts(Path(file))]
        assert ours == expected, file


def test_comments_are_left_out_and_options_obeyed(folder: Path) -> None:
    assert read_prompts(folder / "mixed.txt") == [
        Prompt("a red fox", "low quality, blurry", 64, 96, 7, 5.5, 12),
        Prompt("plain prompt"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "fine\na cat --ss euler_a", r"a\.txt, line 2: asks for --ss \(another sampler\), which is not obeyed here"),
        ("a.txt", "a cat --am 0.7", r"--am \(the strength of a LoRA\)"),
        ("a.txt", "a cat --cn pose.png", "--cn"),
        ("a.txt", "a cat --g 3.5", "--g"),
        ("a.txt", "a cat --nl 2 --ow 512", "--nl"),
        ("a.txt", "a cat --ctr 0.5", "asks for --ctr, which is not obeyed"),
        ("a.txt", "a cat -- a dog", "asks for --, which"),
        ("a.txt", "a cat --w 512x", "--w must be a whole number from 64 to 8192, got '512x'"),
        ("a.txt", "a cat --w", "--w must be a whole number"),
        ("a.txt", "a cat --d -1", "--d must be a whole number"),
        ("a.txt", "a cat --d 1,2", "--d must be a whole number"),
        ("a.txt", "a cat --l nan", "--l must be a guidance scale"),
        ("a.txt", "a cat --s 0", "--s must be a whole number from 1 to 1000"),
        ("a.txt", "--n bad", "begins with an option; write the prompt first"),
        ("a.txt", "a cat <lora:style:0.8>", r"<lora:style:0.8>' for a LoRA by name.*give the file with --lora"),
        ("a.txt", "a cat --n <lora:style:1>", "a LoRA by name"),
        ("a.txt", "<LoRA:x:1>", "a LoRA by name"),
        ("a.txt", "<hypernet:x:1> a cat", "by name"),
        ("a.txt", "a (red:1.3) cat", r"\(red:1.3\)' for a weight"),
        ("a.txt", "a {red|blue} cat", "one of several texts"),
        ("a.txt", "a [red|blue] cat", "one of several texts"),
        ("a.txt", "a (very (red) cat:1.3)", r"\(very \(red\) cat:1.3\)' for a weight"),
        ("a.txt", "((masterpiece)), a cat", r"\(\(masterpiece\)\)' for a weight"),
        ("a.txt", "a [cat:dog:0.5]", "one text after another"),
        ("a.txt", "a cat < lora:x:1>", "a LoRA by name"),
        ("a.txt", "a cat \u2014w 512", "has \u2014w in its text, with a long dash; write --w"),
        ("a.txt", "a cat \u2013\u2013n bad", "with a long dash; write --n"),
        ("a.txt", "a cat BREAK a dog", "a new window of tokens"),
        ("a.txt", "a c\x07t", "line 1: holds "),
        ("a.txt", "a caf\ufffd", r"line 1: holds U\+FFFD at position 6"),
        ("a.txt", "# only\n\n  # comments\n", "holds no prompt"),
        ("a.toml", "[prompt]\nprompt = 'a'\n", r"has no \[\[prompt.subset\]\]"),
        ("a.toml", "[prompt\n", "cannot be read as TOML"),
        ("a.toml", "[[prompt.subset]]\nprompt = 'a'\nsample_sampler = 'ddim'\n", r"prompt 1: asks for sample_sampler \("),
        ("a.toml", "[[prompt.subset]]\nprompt = 'a --w 64'\n", "has --w in its text"),
        ("a.json", '{"prompt": "a"}', "must hold a list"),
        ("a.json", '[{"width": 64}]', "prompt 1: there is no prompt"),
        ("a.json", '[{"prompt": "a", "seed": true}]', "seed must be a whole number"),
        ("a.json", "[1]", "there is no prompt"),
        ("a.csv", "prompt\na cat", "is no file of prompts"),
    ],
)  # fmt: skip
def test_what_is_not_obeyed_is_refused_by_name(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_prompts(tmp_path / name)


def test_ordinary_brackets_colons_and_dashes_are_words(tmp_path: Path) -> None:
    lines = [
        "a (striped) cat: red",
        "8-bit, well--lit",
        "ratio 3:2 {curly}",
        "a < b > c",
        "don't break",
        "a cat \u2014 a dog",
        "a [red] fox",
    ]
    (tmp_path / "p.txt").write_text("\ufeff" + "\n".join(lines))
    assert [prompt.text for prompt in read_prompts(tmp_path / "p.txt")] == lines


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_file_may_be_in_any_encoding_that_says_what_it_is(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "p.txt").write_bytes("# c\r\na café --d 3\r\n".encode(encoding))
    assert read_prompts(tmp_path / "p.txt") == [Prompt("a café", seed=3)]
    (tmp_path / "p.txt").write_bytes("a café".encode("cp1252"))
    with pytest.raises(UserError, match=r"p\.txt is not UTF-8 text; save it as UTF-8$"):
        read_prompts(tmp_path / "p.txt")


def test_a_chains_own_prompts_are_a_file_of_prompts(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"index": 0, "name": "a", "prompt": "a fox"}\n')
    assert read_prompts(tmp_path / "prompts.jsonl") == [Prompt("a fox")]


def drawn(model: Path, prompts: list[str | Prompt], out: Path, **options: Any) -> list[Path]:
    return sample_prompts(str(model), None, prompts, out, **{"schedule": "constant", "steps": 3} | options)


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def test_each_image_is_the_one_that_the_commands_options_give_alone(tiny_model: Path, tmp_path: Path) -> None:
    mixed = drawn(
        tiny_model,
        [Prompt("a cat"), Prompt("a cat", width=96, height=64, seed=5), Prompt("a cat", seed=5, cfg=2.0, steps=4),
         Prompt("a cat", negative="a dog", seed=5), Prompt("a cat", seed=5)],
        tmp_path / "mixed",
    )  # fmt: skip
    assert [path.name for path in mixed] == [row["file"] for row in read_jsonl(tmp_path / "mixed/manifest.jsonl")]
    assert pixels(mixed[0]) == pixels(drawn(tiny_model, ["a cat"], tmp_path / "plain")[0])
    with Image.open(mixed[1]) as image:
        assert image.size == (96, 64)
    alone = drawn(tiny_model, ["a cat"], tmp_path / "alone", seed=5, cfg=2.0, steps=4)
    assert pixels(mixed[2]) == pixels(alone[0])
    negative = drawn(tiny_model, ["a cat"], tmp_path / "negative", seed=5, negative_prompt="a dog")
    assert pixels(mixed[3]) == pixels(negative[0]) != pixels(mixed[4])
    with Image.open(mixed[3]) as image:
        fields = parse_parameters(image.info["parameters"])
    assert fields["Negative prompt"] == "a dog" and fields["Prompt"] == "a cat"


def test_a_negative_prompt_equal_to_the_prompt_is_no_guidance(tiny_model: Path, tmp_path: Path) -> None:
    same = drawn(tiny_model, [Prompt("a cat", negative="a cat", cfg=9.0)], tmp_path / "same")
    none = drawn(tiny_model, [Prompt("a cat", cfg=1.0)], tmp_path / "none")
    assert max(abs(a - b) for a, b in zip(pixels(same[0]), pixels(none[0]), strict=True)) <= 1


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (Prompt("a", width=100), "size of prompt 1 must be a multiple of 8 pixels, got 100"),
        (Prompt("a", negative="word " * 90), "the negative prompt of prompt 1 has .* tokens"),
    ],
)
def test_what_the_model_cannot_have_is_told_before_anything_is_drawn(
    tiny_model: Path, tmp_path: Path, prompt: Prompt, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        drawn(tiny_model, [prompt], tmp_path / "out")
    assert not (tmp_path / "out").exists()
