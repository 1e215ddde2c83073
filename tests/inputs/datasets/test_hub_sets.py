"""A data set of the hub, by id from a loopback server or as a folder in one of the hub's layouts."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import raw_sets
from click.testing import CliRunner

from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, sha256_file
from pipeline.inputs.datasets.hub import SOURCE, fetch
from pipeline.inputs.raw_folder import read_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TABLE = "data/train-00000-of-00001-566cc9b19d7203f8.parquet"
"""As lambdalabs/pokemon-blip-captions names its one table, with the columns image and text."""


def image_bytes(folder: Path, number: int, suffix: str = ".jpg") -> bytes:
    return raw_sets.image(folder / f"made/{number}{suffix}", number, (64, 64)).read_bytes()


def write_table(path: Path, images: list[Any], **columns: list[Any]) -> Path:
    """A table as `datasets` writes it: an image is {bytes, path}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    values = [None if content is None else {"bytes": content, "path": None} for content in images]
    table = pyarrow.table({"image": pyarrow.array(values, kind)} | {name: pyarrow.array(v) for name, v in columns.items()})
    pyarrow.parquet.write_table(table, path)
    return path


@pytest.fixture
def pokemon(tmp_path: Path) -> Path:
    """lambdalabs/pokemon-blip-captions in small, with a split that nobody asked for."""
    folder = tmp_path / "repository"
    images = [image_bytes(tmp_path, 0), image_bytes(tmp_path, 1, ".png"), image_bytes(tmp_path, 2)]
    write_table(folder / TABLE, images, text=["a drawing of a green pokemon", "a red  one\n", "a blue one"])
    write_table(folder / "data/test-00000-of-00001.parquet", images[:1], text=["not this"])
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-sa-4.0\n---\n")
    return folder


def test_a_table_becomes_images_with_their_own_bytes_and_captions_that_a_chain_reads(pokemon: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert fetch(str(pokemon), out) == (3, [], ["1 table(s) of other splits left out: data/test-00000-of-00001.parquet"])
    assert sorted(path.name for path in out.glob("0*")) == [
        "00000.jpg", "00000.txt", "00001.png", "00001.txt", "00002.jpg", "00002.txt",
    ]  # fmt: skip
    assert (out / "00001.png").read_bytes() == (tmp_path / "made/1.png").read_bytes()
    found = read_folder(out, 64)
    assert [image.caption for image in found.images] == ["a drawing of a green pokemon", "a red one", "a blue one"]
    assert found.left_out == []


def test_where_it_is_from_is_recorded_without_a_path_of_this_machine(pokemon: Path, tmp_path: Path) -> None:
    fetch(str(pokemon), tmp_path / "out")
    source = json.loads((tmp_path / "out" / SOURCE).read_text())
    assert source["files"][TABLE] == sha256_file(pokemon / TABLE) and source["split"] == "train"
    assert str(tmp_path) not in (tmp_path / "out" / SOURCE).read_text()


def test_rows_without_image_or_caption_are_listed_and_stop_nothing_but_with_strict(tmp_path: Path) -> None:
    images = [image_bytes(tmp_path, 0), None, b"<html>gone</html>", image_bytes(tmp_path, 3)]
    write_table(tmp_path / "set/train.parquet", images, text=["one", "two", "three", None])
    count, problems, _ = fetch(str(tmp_path / "set"), tmp_path / "out")
    assert count == 2 and [str(problem).split(" (")[0] for problem in problems] == [
        "train.parquet, row 2 has no image", "train.parquet, row 3 cannot be read as an image",
        "train.parquet, row 4 has no caption",
    ]  # fmt: skip
    with pytest.raises(UserError, match="has 3 problem"):
        fetch(str(tmp_path / "set"), tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def test_columns_of_other_names_are_named_and_several_captions_give_the_first(tmp_path: Path) -> None:
    images = [image_bytes(tmp_path, 0)]
    write_table(tmp_path / "set/a.parquet", images, label=[3], sentences=[["first", "second"]])
    with pytest.raises(UserError, match="known to hold captions among image, label, sentences; name one with --caption"):
        fetch(str(tmp_path / "set"), tmp_path / "out")
    fetch(str(tmp_path / "set"), tmp_path / "out", caption="sentences")
    assert (tmp_path / "out/00000.txt").read_text() == "first\n"
    fetch(str(tmp_path / "set"), tmp_path / "bare", caption="")
    assert not (tmp_path / "bare/00000.txt").exists()
    with pytest.raises(UserError, match="no column of images label"):
        fetch(str(tmp_path / "set"), tmp_path / "none", image="label", caption="")


@pytest.mark.parametrize("kind", ["metadata.jsonl", "metadata.csv", "text files"])
def test_a_folder_of_images_is_read_by_its_metadata_or_the_text_beside(tmp_path: Path, kind: str) -> None:
    for number, name in enumerate(("b", "a")):
        raw_sets.image(tmp_path / f"set/train/{name}.png", number)
        if kind == "text files":
            (tmp_path / f"set/train/{name}.txt").write_text(f"caption {name}")
    if kind == "metadata.jsonl":
        lines = [json.dumps({"file_name": f"{name}.png", "text": f"caption {name}"}) for name in "ab"]
        (tmp_path / "set/train/metadata.jsonl").write_text("\n".join(lines) + "\n")
    elif kind == "metadata.csv":
        (tmp_path / "set/train/metadata.csv").write_text("file_name,text\na.png,caption a\nb.png,caption b\n")
    fetch(str(tmp_path / "set"), tmp_path / "out")
    assert [(tmp_path / f"out/0000{i}.txt").read_text() for i in (0, 1)] == ["caption a\n", "caption b\n"]
    assert (tmp_path / "out/00000.png").read_bytes() == (tmp_path / "set/train/a.png").read_bytes()


def test_metadata_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    raw_sets.image(tmp_path / "secret.png", 1)
    (tmp_path / "set").mkdir()
    (tmp_path / "set/metadata.jsonl").write_text('{"file_name": "../secret.png", "text": "x"}\n')
    with pytest.raises(UserError, match=r"row 1 must have file_name, a path below its folder, got '../secret.png'"):
        fetch(str(tmp_path / "set"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_that_is_not_there_and_a_damaged_table_are_named(pokemon: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no split 'validation'; it has test, train"):
        fetch(str(pokemon), tmp_path / "out", split="validation")
    (pokemon / TABLE).write_bytes(b"PAR1 not a table PAR1")
    with pytest.raises(UserError, match="566cc9b19d7203f8.parquet cannot be read as a parquet table"):
        fetch(str(pokemon), tmp_path / "out")
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/train.zip").touch()
    with pytest.raises(UserError, match="neither parquet tables nor images; unpack"):
        fetch(str(tmp_path / "archives"), tmp_path / "out")


def test_a_folder_that_holds_something_is_never_written_over(pokemon: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("work")
    with pytest.raises(UserError, match="out is not empty"):
        fetch(str(pokemon), tmp_path / "out")
    assert (tmp_path / "out/mine.txt").read_text() == "work"


@contextmanager
def hub(repository: Path, name: str) -> Iterator[tuple[str, list[str]]]:
    """A server of one data set on this machine: its address, and the files that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def answer(self, body: bool) -> None:
            prefix = f"/datasets/{name}/resolve/{COMMIT}/"
            files = sorted(path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file())
            if self.path.startswith(f"/api/datasets/{name}"):
                siblings = [{"rfilename": file} for file in files]
                content = json.dumps({"id": name, "sha": COMMIT, "siblings": siblings, "private": False}).encode()
            elif self.path.startswith(prefix) and self.path.removeprefix(prefix) in files:
                content = (repository / self.path.removeprefix(prefix)).read_bytes()
                asked.extend([self.path.removeprefix(prefix)] * body)
            else:
                self.send_error(404)
                return
            self.send_response(200)
            etag = f'"{sha256_bytes(content)}"'
            for key, value in (
                ("Content-Length", len(content)),
                ("ETag", etag),
                ("X-Repo-Commit", COMMIT),
            ):
                self.send_header(key, str(value))
            self.end_headers()
            self.wfile.write(content if body else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("own_cache")
def test_an_id_fetches_the_split_of_one_commit_and_nothing_else(pokemon: Path, tmp_path: Path) -> None:
    with hub(pokemon, "lambdalabs/pokemon-blip-captions") as (address, asked):
        assert fetch("lambdalabs/pokemon-blip-captions", tmp_path / "out", endpoint=address)[:2] == (3, [])
    assert asked == [TABLE]
    source = json.loads((tmp_path / "out" / SOURCE).read_text())
    assert (source["id"], source["commit"]) == ("lambdalabs/pokemon-blip-captions", COMMIT)
    assert source["files"] == {TABLE: sha256_file(pokemon / TABLE)}


@pytest.mark.usefixtures("own_cache")
def test_images_of_the_hub_come_with_their_captions_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    names = ("train/1_cat/A.PNG", "train/1_cat/b.jfif", "c.JPeG", ".git/x.png", "train/1_cat/._A.PNG")
    for number, name in enumerate(names):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        raw_sets.image(tmp_path / f"{number}.png", number).rename(repository / name)
    (repository / "train/1_cat/A.caption").write_text("one")
    with hub(repository, "someone/cats") as (address, _):
        found = fetch("someone/cats", tmp_path / "out", endpoint=address)
    assert found.images == 2 and [str(problem).split(" lies")[0] for problem in found.problems] == ["c.JPeG"]
    assert [(tmp_path / f"out/0000{i}.txt").read_text() for i in range(2)] == ["one\n", "cat\n"]
    assert len(list((tmp_path / "out").glob("0*"))) == 4


@pytest.mark.usefixtures("own_cache")
def test_an_id_that_the_hub_does_not_have_or_give_is_named(pokemon: Path, tmp_path: Path) -> None:
    with hub(pokemon, "someone/images") as (address, _), pytest.raises(UserError, match=r"no data set someone/else.*login"):
        fetch("someone/else", tmp_path / "out", endpoint=address)
    with pytest.raises(UserError, match="someone/images cannot be fetched from .*no connection"):
        fetch("someone/images", tmp_path / "out", endpoint="http://127.0.0.1:9")
    with pytest.raises(UserError, match="neither a folder here nor a repository"):
        fetch("not a/name/at all", tmp_path / "out")


def test_the_command_says_how_many_images_and_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = io.BytesIO(image_bytes(tmp_path, 0)).getvalue()
    write_table(tmp_path / "set/train.parquet", [content, None], caption=["one", "two"])
    done = CliRunner().invoke(main, ["dataset", "fetch", "set", "--out", "raw/mine"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-2:] == ["train.parquet, row 2 has no image", "1 images in raw/mine; 1 problem(s)"]
