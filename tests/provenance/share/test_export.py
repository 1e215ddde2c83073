"""export and import: what others' tools read, the same bytes every time, and nothing used before its hash is right."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl
from pipeline.inputs.raw_folder import read_folder
from provenance.share.share_project import IMAGES, redifine, tree

SETS = ["hf-dataset", "webdataset", "folder"]


@pytest.fixture(scope="module")
def exports(finished_chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """D_3 in every form and M_3, each in a folder of its form's name; read only."""
    folder = tmp_path_factory.mktemp("exports")
    for format_ in [*SETS, "lora"]:
        redifine(finished_chain, "export", "3", "--to", format_, "--out", str(folder / format_), "--licence", "cc-by-4.0")
    return folder


@pytest.fixture
def rows(finished_chain: Path) -> list[dict]:
    return read_jsonl(finished_chain / "data/D_3/manifest.jsonl")


@pytest.mark.parametrize("format_", [*SETS, "lora"])
def test_an_export_is_the_same_bytes_every_time_and_names_no_place(
    finished_chain: Path, exports: Path, tmp_path: Path, format_: str
) -> None:
    redifine(finished_chain, "export", "3", "--to", format_, "--out", str(tmp_path / "again"), "--licence", "cc-by-4.0")
    assert tree(tmp_path / "again") == tree(exports / format_)
    assert not any(str(finished_chain).encode() in content for content in tree(exports / format_).values())


@pytest.mark.parametrize("format_", [*SETS, "lora"])
def test_coreutils_agree_with_the_checksums_of_every_file(exports: Path, format_: str) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=exports / format_, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(tree(exports / format_)) - 1


def test_an_imagefolder_has_a_row_of_metadata_for_every_image(exports: Path, finished_chain: Path, rows: list[dict]) -> None:
    folder = exports / "hf-dataset/train"
    metadata = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert [(row["file_name"], row["text"]) for row in metadata] == [(row["file"], row["prompt"]) for row in rows]
    assert {path.name for path in folder.glob("*.png")} == {row["file_name"] for row in metadata}
    for row in rows:
        assert (folder / row["file"]).read_bytes() == (finished_chain / "data/D_3" / row["file"]).read_bytes()


def test_a_shard_keeps_the_files_of_one_image_together(exports: Path, finished_chain: Path, rows: list[dict]) -> None:
    with tarfile.open(exports / "webdataset/train-000000.tar") as tar:
        members = tar.getmembers()
        assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}
        contents = {member.name: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    names = [member.name for member in members]
    assert [name.partition(".")[0] for name in names] == [f"{i:05d}" for i in range(IMAGES) for _ in range(3)]
    assert contents["00001.txt"].decode() == rows[1]["prompt"]
    assert contents["00002.png"] == (finished_chain / "data/D_3/00002.png").read_bytes()


def test_shards_divide_a_large_set(
    exports: Path, finished_chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.provenance.share.formats.SHARD_IMAGES", 3)
    redifine(finished_chain, "export", "3", "--to", "webdataset", "--out", str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == ["train-000000.tar", "train-000001.tar"]
    with tarfile.open(tmp_path / "out/train-000001.tar") as tar:
        assert len(tar.getnames()) == 3 * (IMAGES - 3)


def test_a_kohya_folder_pairs_images_and_captions(exports: Path, rows: list[dict]) -> None:
    folder = exports / "folder/1_D_3"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{i:05d}.{end}" for i in range(IMAGES) for end in ("png", "txt")
    )
    assert [(folder / f"{i:05d}.txt").read_text() for i in range(IMAGES)] == [row["prompt"] for row in rows]


def test_cards_have_the_headers_that_the_hub_reads(exports: Path) -> None:
    from huggingface_hub import DatasetCard, ModelCard

    for format_ in SETS:
        card = DatasetCard.load(exports / format_ / "README.md")
        assert card.data.license == "cc-by-4.0"
        assert {"synthetic", "generation-3"} <= set(card.data.tags)
        assert card.data.size_categories == ["n<1K"]
        assert "D_0 (real images) -> M_1 -> D_1 -> M_2 -> D_2 -> M_3 -> D_3" in card.text
    model = ModelCard.load(exports / "lora/README.md")
    assert {"lora", "generation-3"} <= set(model.data.tags)
    assert model.data.instance_prompt == "inkpress style"


def test_a_lora_is_the_file_itself_under_a_name_of_its_own(exports: Path, finished_chain: Path) -> None:
    name = "chain-of-diffusion-M_3"
    assert (exports / "lora" / f"{name}.safetensors").read_bytes() == (
        finished_chain / "models/M_3/lora.safetensors"
    ).read_bytes()
    settings = json.loads((exports / "lora" / f"{name}.json").read_text())
    assert settings["activation text"] == "inkpress style" and settings["sd version"] == "SD1"
    assert f"<lora:{name}:1>" in (exports / "lora/README.md").read_text()


def test_the_lineage_holds_every_ancestor_and_what_the_stages_read(exports: Path, finished_chain: Path) -> None:
    lineage = json.loads((exports / "folder/lineage.json").read_text())
    lock = (finished_chain / "dvc.lock").read_text()
    assert list(lineage["data"]) == ["D_0", "D_1", "D_2", "D_3"] and list(lineage["models"]) == ["M_1", "M_2", "M_3"]
    assert all(f"md5: {md5}" in lock for md5 in [*lineage["data"].values(), *lineage["models"].values()])
    assert (lineage["parameters"]["cfg"], lineage["metrics"]["fid"], lineage["generation"]) == (7.5, 31.0, 3)


@pytest.mark.parametrize("format_", SETS)
def test_croissant_readers_accept_the_description(exports: Path, format_: str) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=exports / format_ / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    assert "pictures" in {records.id for records in dataset.metadata.record_sets}


@pytest.mark.parametrize("format_", SETS)
def test_an_exported_set_becomes_the_raw_images_of_a_chain(
    exports: Path, finished_chain: Path, tmp_path: Path, rows: list[dict], format_: str
) -> None:
    out = tmp_path / "raw"
    out.mkdir()
    (out / "README.md").write_text("stays\n")
    assert f"{IMAGES} images" in redifine(tmp_path, "import", str(exports / format_), "--out", str(out))
    images = read_folder(out, resolution=64, limit=None, strict=True).images
    assert [image.caption for image in images] == [row["prompt"] for row in rows]
    for image, row in zip(images, rows, strict=True):
        assert (image.pixels == Image.open(finished_chain / "data/D_3" / row["file"])).all()
    assert json.loads((tmp_path / "raw.lineage.json").read_text())["lineage"]["generation"] == 3


@pytest.fixture
def web(exports: Path) -> Iterator[str]:
    """The exports behind an HTTP server on the loopback."""
    handler = functools.partial(_Quiet, directory=str(exports))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_a_set_is_imported_from_the_web(exports: Path, web: str, tmp_path: Path) -> None:
    redifine(tmp_path, "import", f"{web}/folder/", "--out", "raw")
    assert tree(tmp_path / "raw") == tree(exports / "folder/1_D_3")
    with pytest.raises(UserError, match="cannot be fetched .*404"):
        redifine(tmp_path, "import", f"{web}/nothing", "--out", "other")


TAMPERING = {
    "image": ("1_D_3/00002.png", lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]),
    "caption": ("1_D_3/00001.txt", lambda content: content + b"!"),
    "lineage": ("lineage.json", lambda content: content.replace(b'"generation": 3', b'"generation": 0')),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_a_changed_file_is_named_and_nothing_is_taken(exports: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(exports / "folder", tmp_path / "set")
    file, change = TAMPERING[name]
    path = tmp_path / "set" / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=f"{file} of .* was changed"):
        redifine(tmp_path, "import", "set", "--out", "raw")
    assert not (tmp_path / "raw").exists() and not list(tmp_path.glob(".raw*"))


@pytest.mark.parametrize("name", ["../stray.png", "/etc/passwd", "a//b.png", "a/./b.png", "a b.png"])
def test_a_name_that_leads_out_of_the_set_is_refused(exports: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(exports / "folder", tmp_path / "set")
    with (tmp_path / "set/SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(UserError, match="no plain path inside the folder"):
        redifine(tmp_path, "import", "set", "--out", "raw")


def test_the_set_that_was_meant_can_be_named_by_its_hash(exports: Path, finished_chain: Path, tmp_path: Path) -> None:
    printed = redifine(
        finished_chain, "export", "3", "--to", "folder", "--out", str(tmp_path / "set"), "--licence", "cc-by-4.0"
    )
    digest = printed.split()[-1]
    sums = tmp_path / "set/SHA256SUMS"
    assert subprocess.run(["sha256sum", sums], capture_output=True, text=True, check=True).stdout.split()[0] == digest
    with pytest.raises(UserError, match="is not the set that was meant"):
        redifine(tmp_path, "import", "set", "--out", "raw", "--sha256", "0" * 64)
    redifine(tmp_path, "import", "set", "--out", "raw", "--sha256", digest)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("export", "9", "--to", "folder"), "iteration 9 is not in dvc.lock, which has 0 to 3"),
        (("export", "0", "--to", "lora"), "M_0 is the base model itself"),
        (("export", "3", "--to", "folder", "--out", "data"), "data is not empty; name another folder"),
        (("export", "3", "--to", "folder", "--licence", "MIT licence"), "--licence must be as the hub writes it"),
        (("export", "3", "--to", "lora", "--name", "../x"), "--name must be of letters"),
        (("import", "nowhere"), "nowhere is no folder"),
        (("import", "ftp://example.org/x"), "of a kind that cannot be imported \\(ftp\\)"),
        (("import", "data/D_3"), "SHA256SUMS cannot be read .* must be a folder of 'redifine export'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said(finished_chain: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        redifine(finished_chain, *words)


def test_a_lora_is_no_data_set_and_a_full_folder_is_left_alone(exports: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no data set .*'lora'"):
        redifine(tmp_path, "import", str(exports / "lora"), "--out", "raw")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.png").write_text("mine")
    with pytest.raises(UserError, match="mine is not empty \\(it holds a.png\\)"):
        redifine(tmp_path, "import", str(exports / "folder"), "--out", "mine")


def test_a_missing_or_swapped_image_stops_the_export(project: Path) -> None:
    image = project / "data/D_3/00001.png"
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(UserError, match="00001.png does not exist, .* 'redifine get 3'"):
        redifine(project, "export", "3", "--to", "folder")
    image.write_bytes((project / "data/D_2/00001.png").read_bytes())
    with pytest.raises(UserError, match="00001.png is not the image that the manifest records"):
        redifine(project, "export", "3", "--to", "folder")
    assert not (project / "export").exists() or not any((project / "export").iterdir())
    image.write_bytes(content)
    redifine(project, "export", "3", "--to", "folder")
