"""An audit looks into shards: whose caption or facts were edited, and how many images a cut one has lost."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from pipeline.chain.image_sets import read_manifest, write_set
from pipeline.chain.paths import Layout, image_name
from pipeline.chain.shards import Sharding
from pipeline.core.images import encode_png
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.provenance.verify.audit import audit
from pipeline.provenance.verify.findings import Finding
from provenance.verify.recorded import git

PROMPTS = ["a cat", "", "a dog, naïve " * 60, "x" * 512, "a bird"]
SHARD = "data/D_1/D_1-000000.tar"
Members = dict[str, tuple[int, int]]


@pytest.fixture
def chain(tmp_path: Path) -> Layout:
    """P and D_1 of five images, in shards of three; no dvc.lock."""
    layout = Layout(tmp_path / "chain")
    layout.images(1).mkdir(parents=True)
    rows = [{"file": image_name(i), "prompt_index": i, "image_index": 0, "prompt": text, "seed": i}
            for i, text in enumerate(PROMPTS)]  # fmt: skip
    noise = np.random.default_rng(0)
    pixels = [noise.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in PROMPTS]
    write_set(layout.images(1), 1, rows, lambda i: encode_png(pixels[i]), Sharding(0, 3))
    write_jsonl(layout.prompts, [{"index": i, "name": str(i), "prompt": text} for i, text in enumerate(PROMPTS)])
    return layout


def record(layout: Layout) -> None:
    """Have DVC record the chain."""
    from dvc.repo import Repo

    git(layout.root, "init", "-q")
    (layout.root / "dvc.yaml").write_text("stages:\n  sample: {cmd: x, outs: [data/D_1, data/prompts.jsonl]}\n")
    Repo.init(str(layout.root)).close()
    with chdir(layout.root), Repo(".") as repo:
        repo.commit(force=True)


def told(layout: Layout) -> list[tuple[str, str, str]]:
    return [(found.path, found.kind, found.detail) for found in audit(layout.root).findings]


def members(layout: Layout) -> Members:
    """Where the content of each file of the first shard begins, and its size, as another reader of archives has it."""
    with tarfile.open(layout.root / SHARD) as tar:
        return {member.name: (member.offset_data, member.size) for member in tar}


def overwrite(layout: Layout, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change a file's bytes inside the first shard, in place, without touching its header."""
    start, size = members(layout)[name]
    content = bytearray((layout.root / SHARD).read_bytes())
    changed = change(bytes(content[start : start + size]))
    content[start : start + len(changed)] = changed
    # A new file: DVC may have linked the old one to its cache.
    (layout.root / SHARD).unlink()
    (layout.root / SHARD).write_bytes(content)


def repack(layout: Layout, change: Callable[[str, bytes], bytes]) -> None:
    """Write the first shard again as another tool would, with times and owners."""
    with tarfile.open(layout.root / SHARD) as tar:
        files = {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar}
    with tarfile.open(layout.root / SHARD, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.uname, entry.size = 1_700_000_000, "ann", len(change(name, content))
            tar.addfile(entry, io.BytesIO(change(name, content)))


CAPTIONS = {
    "another letter": ("00000", lambda text: text.replace(b"cat", b"cow")),
    "words added": ("00000", lambda text: text + b" and a cow"),
    "the last byte of a long one": ("00002", lambda text: text[:-1] + b"!"),
}


@pytest.mark.parametrize("recorded", [False, True], ids=["without dvc.lock", "with dvc.lock"])
@pytest.mark.parametrize(("stem", "change"), CAPTIONS.values(), ids=CAPTIONS)
def test_an_edited_caption_in_a_shard_is_named(
    chain: Layout, recorded: bool, stem: str, change: Callable[[bytes], bytes]
) -> None:
    if recorded:
        record(chain)
    assert told(chain) == []
    overwrite(chain, f"{stem}.txt", change)
    *others, last = told(chain)
    assert last == (SHARD, "changed", f"the caption of {stem} is not the prompt that data/D_1/manifest.jsonl has")
    assert [found[0] for found in others] == ([SHARD] if recorded else [])
    assert str(Finding(*last)).startswith(f"{SHARD}: changed: the caption of {stem}")  # type: ignore[arg-type]


def test_edited_facts_in_a_shard_are_named(chain: Layout) -> None:
    overwrite(chain, "00001.json", lambda text: text.replace(b'"seed": 1', b'"seed": 7'))
    assert told(chain) == [(SHARD, "changed", "the facts of 00001 are not those in data/D_1/manifest.jsonl")]


def test_an_archive_that_was_packed_again_is_judged_by_what_it_holds(chain: Layout) -> None:
    repack(chain, lambda name, content: content)
    assert told(chain) == []
    repack(chain, lambda name, content: b"a dog" if name == "00000.txt" else content)
    assert [detail.partition(" is ")[0] for _, _, detail in told(chain)] == ["the caption of 00000"]


def test_an_edited_prompt_in_the_manifest_does_not_put_the_shard_in_the_wrong(chain: Layout) -> None:
    rows = read_jsonl(chain.manifest(1))
    rows[0]["prompt"] = "a cow"
    write_jsonl(chain.manifest(1), rows)
    assert [path for path, _, _ in told(chain)] == ["data/D_1/manifest.jsonl"]


@pytest.mark.parametrize(("stem", "lost"), [("00001", 2), ("00000", 3), ("00002", 1)])
def test_a_cut_shard_tells_how_many_images_are_lost_and_names_them(chain: Layout, stem: str, lost: int) -> None:
    start, size = members(chain)[f"{stem}.png"]
    os.truncate(chain.root / SHARD, start + size - 1)
    *missing, shard = told(chain)
    names = [image_name(i) for i in range(3 - lost, 3)]
    assert [(path, kind) for path, kind, _ in missing] == [(f"data/D_1/{name}", "missing") for name in names]
    said = f"it ends after {start + size - 1} bytes: {lost} of its 3 images are lost, the first is {stem}"
    assert shard == (SHARD, "damaged", said)


def test_a_shard_that_lost_its_last_caption_alone_names_that(chain: Layout) -> None:
    os.truncate(chain.root / SHARD, members(chain)["00002.txt"][0])
    assert [(path, detail.partition(" is ")[0]) for path, _, detail in told(chain)] == [(SHARD, "the caption of 00002")]


def test_names_that_no_archive_can_hold_end_in_no_error(chain: Layout) -> None:
    rows = read_manifest(chain, 1)
    rows[0]["file"] = f"{'n' * 300}.png"
    write_jsonl(chain.manifest(1), rows)
    assert "data/D_1/manifest.jsonl" in [path for path, _, _ in told(chain)]
