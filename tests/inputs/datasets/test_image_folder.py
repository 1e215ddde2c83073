"""Folders as people keep them: flat, sd-scripts' 10_name folders, imagefolder; every image is told of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import raw_sets
from click.testing import CliRunner
from hostile.workplace import write_workplace

from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl
from pipeline.inputs.datasets.hub import fetch
from pipeline.inputs.raw_folder import RawSet, examine_folder, read_folder

Files = dict[str, str | bytes | int]
"""{path: its content, or the number of an image}."""


def put(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            raw_sets.image(path.with_suffix(".png"), content, (64, 64)).rename(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def captions(found: RawSet) -> dict[str, str]:
    return {image.name: image.caption for image in found.images}


SD_SCRIPTS: Files = {
    "img/10_sks dog/a.png": 1, "img/10_sks dog/a.caption": "a dog on grass", "img/10_sks dog/b.JPG": 2,
    "img/10_sks dog/b.txt": "a dog, running", "img/5_cat/c.jfif": 3, "reg/1_dog/r.png": 4, "reg/1_dog/r.txt": "a dog",
    "model/sample/s.png": 5, "model/last.safetensors": "x", "log/events.out": "x",
}  # fmt: skip


@pytest.mark.parametrize("below", ["", "img"], ids=["the project", "its img folder"])
def test_sd_scripts_folders_give_captions_of_both_kinds_and_class_tokens_and_no_regularisation_image(
    tmp_path: Path, below: str
) -> None:
    found = examine_folder(put(tmp_path, SD_SCRIPTS) / below, 64)
    assert [image.caption for image in found.images] == ["a dog on grass", "a dog, running", "cat"]
    assert found.left_out == []
    said = "\n".join(found.notices)
    assert "repeats (5, 10) left out: each image counts once" in said
    assert "1 image(s) without a caption take their folder's: 'cat'" in said
    assert ("1 regularisation image(s) left out: reg/1_dog" in said) == (below == "")
    assert ("1 image(s) of the trainer's outputs left out: model/sample" in said) == (below == "")


@pytest.mark.parametrize("name", ["reg", "Regularization", "regularisation_images", "reg_images", "class images", "reg_data"])
def test_regularisation_images_are_counted_whatever_their_folder_is_called(tmp_path: Path, name: str) -> None:
    files: Files = {"10_a b/x.png": 1, "10_a b/y.png": 2, f"{name}/1_b/r.png": 3, f"{name}/r2.png": 4}
    found = examine_folder(put(tmp_path, files), 64)
    assert [image.caption for image in found.images] == ["a b", "a b"] and found.left_out == []
    assert f"2 regularisation image(s) left out: {name}, {name}/1_b" in found.notices


@pytest.mark.parametrize(
    "name", ["reg_man", "img-reg", "dog regularization", "class_images_man", "reg512", "1_reg", "1_reg_images"]
)
def test_beside_folders_with_repeats_a_word_is_enough_to_tell_regularisation_images(tmp_path: Path, name: str) -> None:
    found = examine_folder(put(tmp_path, {"img/10_a b/x.png": 1, "img/10_a b/y.png": 2, f"{name}/4_b/r.png": 3}), 64)
    assert [image.caption for image in found.images] == ["a b", "a b"] and found.left_out == []
    assert f"1 regularisation image(s) left out: {name}/4_b" in found.notices
    assert "repeats (10) left out" in "\n".join(found.notices)


@pytest.mark.parametrize("name", ["regular shoes", "reggae", "1_reg man", "greg"])
def test_other_words_are_subjects(tmp_path: Path, name: str) -> None:
    folder = name if name[0].isdigit() else f"{name}/5_b"
    found = examine_folder(put(tmp_path, {"img/10_a b/x.png": 1, f"{folder}/r.png": 3}), 64)
    assert len(found.images) == 2 and not any("regularisation" in line for line in found.notices)


def test_a_folder_of_which_nothing_is_left_says_what_was_left_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no image.*2 regularisation image\(s\) left out: reg"):
        read_folder(put(tmp_path, {"reg/a.png": 1, "reg/b.png": 2}), 64)


def test_what_sd_scripts_would_not_train_on_is_counted_or_named(tmp_path: Path) -> None:
    files: Files = {
        "1_a/x.png": 1,
        "1_a/y.png": 2,
        "0_b/z.png": 3,
        "later/w.png": 4,
        "w.txt": "lonely",
        "v.png": 5,
        "v.txt": "v",
    }
    found = examine_folder(put(tmp_path, files), 64)
    assert len(found.images) == 2 and "1 image(s) of 0 repeats left out: 0_b" in found.notices
    assert [line.split(" lies")[0] for line in found.left_out] == ["later/w.png", "v.png", "w.txt has no image beside it"]
    assert not any("repeats (" in line for line in found.notices)


def table(kind: str, rows: list[tuple[str, str]], column: str = "text", file: str = "file_name") -> bytes:
    """The same rows in each format, as other programs write them."""
    if kind.endswith(".jsonl"):
        return "".join(json.dumps({file: name, column: text}) + "\r\n" for name, text in rows).encode("utf-8-sig")
    if kind.endswith(".json"):
        return json.dumps([{file: name, column: text} for name, text in rows]).encode("utf-16")
    if kind.endswith(".parquet"):
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.table({file: [row[0] for row in rows], column: [row[1] for row in rows]}), sink)
        return bytes(sink.getvalue().to_pybytes())
    mark = "\t" if kind.endswith(".tsv") else ";" if column == "Caption" else ","
    quoted = "".join(f'{name}{mark}"{text}"\r\n' for name, text in rows)
    return f"{file}{mark}{column}\r\n{quoted}".encode("utf-8-sig")


@pytest.mark.parametrize("column", ["text", "Caption", "prompt"])
@pytest.mark.parametrize("kind", ["metadata.jsonl", "metadata.csv", "metadata.tsv", "metadata.json", "metadata.parquet"])
def test_an_imagefolder_is_read_whatever_the_format_column_and_byte_order_mark(tmp_path: Path, kind: str, column: str) -> None:
    rows = [("a.png", "one, with a comma"), ("sub/b.JPEG", "twó"), ("sub/deep/c.webp", "three")]
    files: Files = {"a.png": 1, "sub/b.JPEG": 2, "sub/deep/c.webp": 3, kind: table(kind, rows, column)}
    found = examine_folder(put(tmp_path / "set", files), 64)
    assert captions(found) == {"a": "one, with a comma", "sub-b": "twó", "sub-deep-c": "three"} and found.left_out == []
    fetched = fetch(str(tmp_path / "set"), tmp_path / "out")
    assert (fetched.images, fetched.problems) == (3, [])
    assert [(tmp_path / f"out/0000{i}.txt").read_text() for i in range(3)] == ["one, with a comma\n", "twó\n", "three\n"]


META: dict[str, object] = {
    "a mapping by name": {"a": {"caption": "one", "tags": "x, y"}, "b": {"caption": "two"}},
    "whole paths of another machine": {"/home/me/a.png": {"caption": "one, x", "tags": "y"}, "C:\\me\\b.png": {"tags": "two"}},
    "plain captions": {"a.png": "one, x, y", "b.png": "two"},
    "a list": [{"image_path": "a.png", "caption": "one, x, y"}, {"file_name": "b.png", "text": "two"}],
}


@pytest.mark.parametrize("content", META.values(), ids=list(META))
def test_sd_scripts_own_table_gives_captions_with_tags_where_no_caption_file_does(tmp_path: Path, content: object) -> None:
    put(tmp_path, {"a.png": 1, "b.png": 2, "meta_cap.json": json.dumps(content)})
    assert captions(examine_folder(tmp_path, 64)) == {"a": "one, x, y", "b": "two"}
    (tmp_path / "b.txt").write_text("by hand")
    assert captions(examine_folder(tmp_path, 64)) == {"a": "one, x, y", "b": "by hand"}


def test_rows_that_fit_no_image_twice_or_against_a_file_are_named(tmp_path: Path) -> None:
    rows = [("a.png", "one"), ("a.png", "another"), ("b.png", "two"), ("b.png", "two"), ("gone.png", "x"), ("../out.png", "x"),
            ("c.png", "three"), ("d.png", "")]  # fmt: skip
    files: Files = {f"{name}.png": number for number, name in enumerate("abcde")}
    put(tmp_path, files | {"metadata.csv": table("metadata.csv", rows), "c.txt": "not three"})
    found = examine_folder(tmp_path, 64)
    assert captions(found) == {"b": "two"}
    expected = (
        "a.png has 2 captions that differ, in metadata.csv", "c.png has 2 captions that differ, in c.txt and metadata.csv",
        "d.png has no caption", f"e.png has no caption: no e.txt or e.caption in {tmp_path}, and no row in metadata.csv",
        "metadata.csv, row 5 names 'gone.png'", "metadata.csv, row 6 must have file_name, a path below its folder",
    )  # fmt: skip
    assert len(found.left_out) == len(expected), found.left_out
    for line, start in zip(found.left_out, expected, strict=True):
        assert line.startswith(start)


def test_several_tables_each_give_the_captions_of_their_own_folder(tmp_path: Path) -> None:
    files: Files = {"x/a.png": 1, "y/b.png": 2, "c.png": 3, "x/metadata.csv": table(".csv", [("a.png", "one")])}
    files |= {"y/metadata.jsonl": table(".jsonl", [("b.png", "two")]), "metadata.jsonl": table(".jsonl", [("c.png", "three")])}
    assert captions(examine_folder(put(tmp_path, files), 64)) == {"c": "three", "x-a": "one", "y-b": "two"}


@pytest.mark.parametrize("name", ["captions.csv", "metadata.json1", "prompts.xlsx", "list.jsonl"])
def test_a_missing_caption_says_where_it_was_looked_for_and_which_table_lies_there_unread(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"x.png": 1, name: "file_name,text\nx.png,one\n"})
    found = examine_folder(tmp_path, 64)
    assert f"x.png has no caption: no x.txt or x.caption in {tmp_path}; {name} there is not read" in found.left_out
    assert any(line.startswith(f"{name} is not read") and "metadata.csv" in line for line in found.left_out)


@pytest.mark.parametrize("name", ["captions.txt", "metadata.jsonl.txt", "prompts.txt", "tags.caption"])
def test_a_list_of_captions_that_is_named_as_a_caption_is_named_at_each_image(tmp_path: Path, name: str) -> None:
    found = examine_folder(put(tmp_path, {"x.png": 1, name: "one\ntwo\n"}), 64)
    assert f"x.png has no caption: no x.txt or x.caption in {tmp_path}; {name} there is not read" in found.left_out
    assert any(line.startswith(f"{name} has no image beside it; ") and "metadata.csv" in line for line in found.left_out)


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("metadata.csv", "file_name,text\nx.png,caf\xe9\n".encode("cp1252"), "; metadata.csv there cannot be used"),
        ("metadata.jsonl", '{"file_name": "x.png"', "; metadata.jsonl there cannot be used"),
        ("metadata.jsonl", '{"file_name": "x.png", "text": null}', ", and an empty row in metadata.jsonl"),
        ("metadata.csv", "file_name,text\nx.png,\n", ", and an empty row in metadata.csv"),
    ],
)
def test_a_missing_caption_names_the_table_that_does_not_give_it(
    tmp_path: Path, name: str, content: str | bytes, where: str
) -> None:
    found = examine_folder(put(tmp_path, {"x.png": 1, name: content}), 64)
    assert f"x.png has no caption: no x.txt or x.caption in {tmp_path}{where}" in found.left_out


@pytest.mark.parametrize("bad", ["file_name\na.png\n", "name,text\na.png,x\n", '{"a": 3}', "[1]", 'a\0b,"', b"\xff\xfe\xd8"])
@pytest.mark.parametrize("name", ["metadata.csv", "metadata.json", "metadata.jsonl"])
def test_a_table_that_gives_no_caption_is_named_and_files_beside_it_count(tmp_path: Path, name: str, bad: str | bytes) -> None:
    put(tmp_path, {"a.png": 1, "b.png": 2, "a.txt": "one", "b.txt": "two", name: bad})
    found = examine_folder(tmp_path, 64)
    assert captions(found) == {"a": "one", "b": "two"}
    assert len(found.left_out) == 1 and found.left_out[0].startswith(name)


def test_a_file_named_like_a_split_is_of_none(tmp_path: Path) -> None:
    files: Files = {f"{name}.png": i for i, name in enumerate(("photo-train-02", "a_test", "val.3", "dog"))}
    put(tmp_path / "set", files | {f"{Path(name).stem}.txt": "x" for name in files})
    assert len(examine_folder(tmp_path / "set", 64).images) == 4
    assert fetch(str(tmp_path / "set"), tmp_path / "out", strict=True) == (4, [], [])


SPLITS: dict[str, tuple[Files, list[str], str, str]] = {
    "nested": (
        {"data/train/x/a.png": 1, "data/test/x/b.png": 2, "data/Validation/c.png": 3}, ["a"], "1 image(s) of the split", ""),
    "root and test": ({"a.png": 1, "b.png": 2, "test/c.png": 3}, ["a", "b"], "1 image(s) of the split test left out", ""),
    "a class called train": ({"train/a.png": 1, "car/b.png": 2, "bus/c.png": 3}, ["a"], "", "car/b.png is of no split"),
    "no split": ({"cars/a.png": 1, "trains/b.png": 2}, ["a", "b"], "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("files", "names", "notice", "problem"), SPLITS.values(), ids=list(SPLITS))
def test_splits_are_folders_and_what_is_left_out_is_counted_or_named(
    tmp_path: Path, files: Files, names: list[str], notice: str, problem: str
) -> None:
    texts: Files = {Path(name).with_suffix(".txt").as_posix(): Path(name).stem for name in files}
    put(tmp_path / "set", files | texts)
    found, fetched = examine_folder(tmp_path / "set", 64), fetch(str(tmp_path / "set"), tmp_path / "out")
    assert sorted(captions(found).values()) == names and fetched.images == len(names)
    for notices, problems in ((found.notices, found.left_out), (fetched.notices, fetched.problems)):
        assert any(line.startswith(notice) for line in notices) if notice else not notices
        assert any(str(line).startswith(problem) for line in problems) if problem else not problems


def test_a_column_of_a_table_names_the_split_too(tmp_path: Path) -> None:
    rows = "".join(f'{{"file_name": "{n}.png", "text": "{n}", "split": "{s}"}}\n' for n, s in (("a", "train"), ("b", "test")))
    put(tmp_path / "set", {"a.png": 1, "b.png": 2, "metadata.jsonl": rows})
    assert fetch(str(tmp_path / "set"), tmp_path / "out")[::2] == (1, ["1 image(s) of the split test left out"])
    assert fetch(str(tmp_path / "set"), tmp_path / "test", split="test").images == 1
    with pytest.raises(UserError, match="has no split 'dev'; it has test, train"):
        fetch(str(tmp_path / "set"), tmp_path / "dev", split="dev")


@pytest.mark.parametrize("kind", ["metadata.parquet", "metadata.jsonl", "metadata.csv"])
def test_splits_that_are_numbers_are_asked_about_in_every_format(tmp_path: Path, kind: str) -> None:
    rows = {"file_name": ["a.png", "b.png", "c.png"], "text": ["x", "y", "z"], "split": [0, 0, 1]}
    put(tmp_path / "set", {"a.png": 1, "b.png": 2, "c.png": 3})
    if kind.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "set" / kind)
    else:
        lines = list(zip(*rows.values(), strict=True))
        as_json = "".join(json.dumps(dict(zip(rows, line, strict=True))) + "\n" for line in lines)
        as_csv = "".join(",".join(map(str, line)) + "\n" for line in [tuple(rows), *lines])
        (tmp_path / "set" / kind).write_text(as_json if kind.endswith("jsonl") else as_csv)
    with pytest.raises(UserError, match=r"has no split 'train'; it has 0, 1: .*redifine dataset fetch FOLDER --split NAME"):
        examine_folder(tmp_path / "set", 64)
    assert fetch(str(tmp_path / "set"), tmp_path / "zero", split="0").images == 2


def imagefolder(folder: Path) -> Path:
    rows = [(f"{name}.png", f"caption {name}") for name in "abc"]
    return put(folder, {"a.png": 1, "b.png": 2, "c.png": 3, "metadata.csv": table("metadata.csv", rows)})


def flat(folder: Path) -> Path:
    return put(folder, {"a.png": 1, "b.jfif": 2, "a.txt": "one", "b.caption": "two"})


def sd_scripts(folder: Path) -> Path:
    return put(folder, SD_SCRIPTS)


@pytest.mark.parametrize("make", [flat, sd_scripts, imagefolder])
@pytest.mark.parametrize("out", [False, True], ids=["where it lies", "--out"])
def test_one_command_goes_from_each_layout_to_d_0(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], out: bool
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    write_workplace(root).set(dataset="creatures", folder=None, prompts=100, model=str(tiny_model))
    raw = make(tmp_path / "mine")
    expected = [image.caption for image in examine_folder(raw, 64).images]
    before = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    by_style = ["--out", "raw/flat", "--parts", "style", "--style", "x"] if out else []
    done = CliRunner().invoke(main, ["dataset", "prepare", "folder", str(raw), *by_style])
    assert done.exit_code == 0, done.output
    assert [row["prompt"] for row in read_jsonl(root / "data/prompts.jsonl")] == expected
    assert before.items() <= {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}.items()
    if make is sd_scripts:
        assert "repeats (5, 10) left out" in done.output and "regularisation image(s) left out" in done.output
    shutil.rmtree(root / "data")
    assert CliRunner().invoke(main, ["prepare"]).exit_code == 0
    assert [row["prompt"] for row in read_jsonl(root / "data/prompts.jsonl")] == expected
