"""What an audit sees inside shards: every image by its own hash, so that a wrong byte names an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.progress import Progress
from pipeline.shards import Row, by_shard, read_stored
from pipeline.verify.hashes import Digest, digest_bytes
from pipeline.verify.records import Records


def digest_images(records: Records) -> dict[str, Digest]:
    """{path: hashes} of the images in shards, under the paths that they would have as files; one is held at a time."""
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


def _digests(folder: Path, name: str, rows: Iterable[Row]) -> dict[str, Digest]:
    """Of the images of one shard; none of what cannot be read."""
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
    """{path of an image in a shard: path of its shard}."""
    return {
        f"{name}/{row['file']}": f"{name}/{shard}"
        for k, rows in records.manifests.items()
        for name in [records.name(records.layout.images(k))]
        for shard, found in by_shard(rows)
        for row in found
    }


def with_images(sound: Mapping[str, bool], shards: Mapping[str, str]) -> dict[str, bool]:
    """Images are what dvc.lock records where their shard is; where it is not, nobody knows."""
    return {**sound, **{image: True for image, shard in shards.items() if sound.get(shard)}}
