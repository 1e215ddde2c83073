"""What an audit sees inside shards: every image by its own hash, and its caption and facts, so that a wrong byte has a name."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from pipeline.chain.shards import ManifestRow, by_shard, read_stored, write_shard
from pipeline.core.progress import Progress
from pipeline.provenance.verify.findings import Finding
from pipeline.provenance.verify.records import Records
from pipeline.versioning.hashes import Digest, digest_bytes


def digest_images(records: Records) -> dict[str, Digest]:
    """Return {path: hashes} of the images in shards, under the paths that they would have as files; one is held at a time."""
    found: dict[str, Digest] = {}
    sharded = [(k, list(by_shard(rows))) for k, rows in records.manifests.items()]
    if not any(shards for _, shards in sharded):
        return found
    with Progress("verify shards", sum(len(rows) for _, shards in sharded for _, rows in shards)) as progress:
        for k, shards in sharded:
            folder = records.layout.images(k)
            for _, rows in shards:
                found |= _digests(folder, records.name(folder), rows)
                progress.advance(len(rows))
    return found


def _digests(folder: Path, name: str, rows: Iterable[ManifestRow]) -> dict[str, Digest]:
    """Return the hashes of one shard's images, without those that cannot be read."""
    found = {}
    for row in rows:
        try:
            content = read_stored(folder, row)
        except OSError:
            continue
        if len(content) == row["size"]:
            found[f"{name}/{row['file']}"] = digest_bytes(content)
    return found


def shard_of(records: Records) -> dict[str, str]:
    """Return {path of an image in a shard: path of its shard}."""
    return {
        f"{name}/{row['file']}": f"{name}/{shard}"
        for k, rows in records.manifests.items()
        for name in [records.name(records.layout.images(k))]
        for shard, found in by_shard(rows)
        for row in found
    }


def with_images(verified: Mapping[str, bool], shards: Mapping[str, str]) -> dict[str, bool]:
    """Add the images: each is what dvc.lock records where its shard is; where the shard is not, nobody knows."""
    return {**verified, **{image: True for image, shard in shards.items() if verified.get(shard)}}


def shard_findings(
    records: Records, digests: Mapping[str, Digest], verified: Mapping[str, bool], doubted: Collection[str]
) -> Iterator[Finding]:
    """Report shards that end too early, and captions and facts in them that are not those of the manifest.

    Only of shards that are not known to be `verified`, and by manifests that are not `doubted`.
    """
    for k, rows in records.manifests.items():
        folder, manifest = records.layout.images(k), records.name(records.layout.manifest(k))
        name = records.name(folder)
        for shard, inside in by_shard(rows):
            path = f"{name}/{shard}"
            if path not in digests or verified.get(path) or manifest in doubted:
                continue
            yield from _cut(path, digests[path].size, inside)
            unchanged = [row for row in inside if _is_unchanged(row, digests.get(f"{name}/{row['file']}"))]
            for row, sentence in _others(folder / shard, unchanged, k):
                yield Finding(path, "changed", sentence.format(_stem(row), manifest))


def _cut(path: str, size: int, rows: Sequence[ManifestRow]) -> Iterator[Finding]:
    lost = [row for row in rows if row["offset"] + row["size"] > size]
    if lost:
        count = f"{len(lost)} of its {len(rows)} images are lost, the first is {_stem(lost[0])}"
        yield Finding(path, "damaged", f"it ends after {size} bytes: {count}")


def _is_unchanged(row: ManifestRow, digest: Digest | None) -> bool:
    """Return whether the image is at its place: beside another one stand another one's caption and facts."""
    return digest is not None and digest.sha256 == row["sha256"]


def _stem(row: ManifestRow) -> str:
    return Path(row["file"]).stem


def _others(shard: Path, rows: Sequence[ManifestRow], k: int) -> Iterator[tuple[ManifestRow, str]]:
    """Yield images of a shard whose caption or facts, beside them, are not those of their rows, with a sentence about that."""
    with shard.open("rb") as file:
        for row, (facts, caption) in zip(rows, _expected(rows, k), strict=True):
            if _read(file, row["offset"] - tarfile.BLOCKSIZE - len(facts), len(facts)) != facts:
                yield row, "the facts of {} are not those in {}"
            if _read(file, row["offset"] + _in_blocks(row["size"]) + tarfile.BLOCKSIZE, len(caption)) != caption:
                yield row, "the caption of {} is not the prompt that {} has"


def _expected(rows: Sequence[ManifestRow], k: int) -> list[tuple[bytes, bytes]]:
    """Return facts and caption of each image as its shard holds them, in whole blocks."""
    with tempfile.TemporaryDirectory(prefix="redifine-verify-") as folder:
        path = Path(folder) / "shard.tar"
        try:
            write_shard(path, ((row, b"") for row in rows), k)
        except ValueError:  # names that no shard can hold: a manifest that we did not write
            return [(b"", b"") for _ in rows]
        with tarfile.open(path) as tar:
            files = [file.read() if (file := tar.extractfile(member)) else b"" for member in tar]
    blocks = [content.ljust(_in_blocks(len(content)), b"\0") for content in files]
    return list(zip(blocks[0::3], blocks[2::3], strict=True))


def _in_blocks(size: int) -> int:
    """Return a file's size in an archive, which counts in blocks."""
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(max(start, 0))
    return file.read(size)
