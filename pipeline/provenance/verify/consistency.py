"""Hold the chain's own records against each other and against the files that they name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from pipeline.chain.paths import image_name
from pipeline.core.randomness import image_seed
from pipeline.inputs.base_models.identity import base_hash
from pipeline.provenance.verify.findings import Finding, RecordedValue, disagreements
from pipeline.provenance.verify.records import Records
from pipeline.versioning.hashes import Digest

Digests = Mapping[str, Digest]
Verified = Mapping[str, bool]


def image_findings(records: Records, digests: Digests, verified: Verified, shards: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about images that are missing, extra, swapped or changed, and rows of D_k and T_k with a wrong sha256.

    `shards` says in which shard an image is, where it is no file of its own.
    """
    entries = _recorded_hashes(records)
    owner = {found[0].value: path for path, found in reversed(list(entries.items()))}
    for path, found in entries.items():
        digest = digests.get(path)
        where = f" in {shards[path]}" if path in shards else ""
        if digest is None:
            if verified.get(found[0].path) is not False:
                yield Finding(path, "missing", f"{found[0]} names it{where}, and it is not there, or cannot be read")
        elif (other := owner.get(digest.sha256, path)) != path and not verified.get(path):
            yield Finding(path, "swapped", f"it holds{where} the content of {other}")
        else:
            yield from disagreements(f"the sha256 of {path}{where}", [*found, RecordedValue(path, digest.sha256)], verified)
    holders = set(shards.values())
    for k in records.manifests:
        yield from _unlisted(records, k, digests.keys() - holders, verified)


def _recorded_hashes(records: Records) -> dict[str, list[RecordedValue]]:
    """Return {image: what manifests and training sets say about its sha256}."""
    entries: dict[str, list[RecordedValue]] = defaultdict(list)
    for k, rows in records.manifests.items():
        manifest, folder = records.name(records.layout.manifest(k)), records.name(records.layout.images(k))
        for line, row in enumerate(rows, 1):
            entries[f"{folder}/{row['file']}"].append(RecordedValue(manifest, row["sha256"], line))
    for k, rows in records.training_sets.items():
        name = records.name(records.layout.training_set(k))
        for line, row in enumerate(rows, 1):
            entries[row["path"]].append(RecordedValue(name, row["sha256"], line))
    return entries


def _unlisted(records: Records, k: int, paths: Collection[str], verified: Verified) -> Iterator[Finding]:
    """Yield those of `paths` in D_k's folder that its manifest does not list; a manifest known to be wrong is no witness."""
    manifest, folder = records.name(records.layout.manifest(k)), records.name(records.layout.images(k))
    listed = {f"{folder}/{row['file']}" for row in records.manifests[k]} | {manifest}
    for path in paths:
        if path.startswith(f"{folder}/") and path not in listed and not (verified.get(path) and not verified.get(manifest)):
            yield Finding(path, "extra", f"{manifest} does not list it")


def prompt_findings(records: Records, verified: Verified) -> Iterator[Finding]:
    """Yield findings about prompts and captions that are not the same in P, the manifests and the training sets."""
    entries: dict[int, list[RecordedValue]] = defaultdict(list)
    for line, row in enumerate(records.prompts, 1):
        entries[row["index"]].append(RecordedValue(records.name(records.layout.prompts), row["prompt"], line))
    for k, rows in records.manifests.items():
        for line, row in enumerate(rows, 1):
            entries[row["prompt_index"]].append(RecordedValue(records.name(records.layout.manifest(k)), row["prompt"], line))
    for k, rows in records.training_sets.items():
        for line, row in enumerate(rows, 1):
            entries[row["prompt_index"]].append(
                RecordedValue(records.name(records.layout.training_set(k)), row["caption"], line)
            )
    for index, found in entries.items():
        yield from disagreements(f"the text of prompt {index}", found, verified)


def row_findings(records: Records, seed: int | None) -> Iterator[Finding]:
    """Yield rows whose place in the chain is not their image's, seeds that are not the run's, and prompts without images."""
    for k, rows in records.manifests.items():
        path = records.name(records.layout.manifest(k))
        for line, row in enumerate(rows, 1):
            prompt, image = row["prompt_index"], row["image_index"]
            if row["file"] != image_name(prompt, image):
                yield Finding(path, "changed", f"line {line}: {row['file']} is not image {image} of prompt {prompt}")
            if k > 0 and seed is not None and row.get("seed") != image_seed(seed, k, prompt, image):
                yield Finding(path, "changed", f"line {line}: the seed is not the one of image {image} of prompt {prompt}")
        drawn = {row["prompt_index"] for row in rows}
        for row in records.prompts:
            if row["index"] not in drawn:
                yield Finding(path, "changed", f"no line has an image of prompt {row['index']}")
    for k, rows in records.training_sets.items():
        path = records.name(records.layout.training_set(k))
        for line, row in enumerate(rows, 1):
            expected = records.layout.images(row["k"]) / image_name(row["prompt_index"], row["image_index"])
            if row["path"] != records.name(expected):
                yield Finding(path, "changed", f"line {line}: {row['path']} is not the image that k and its indices say")


def model_findings(records: Records, digests: Digests, verified: Verified) -> Iterator[Finding]:
    """Compare M_k's LoRAs and training sets with lineage.json, and M_0's files with base.json."""
    base = [RecordedValue(records.name(records.layout.base_record()), records.base["sha256"])] if records.base else []
    for k, lineage in records.lineages.items():
        path = records.name(records.layout.lineage(k))
        base.append(RecordedValue(path, lineage["base_sha256"]))
        named = [(records.layout.lora(k), "lora_sha256"), (records.layout.training_set(k), "training_set_sha256")]
        if lineage.get("previous_lora_sha256"):
            named.append((records.layout.lora(k - 1), "previous_lora_sha256"))
        for file, key in named:
            yield from _against(records.name(file), RecordedValue(path, lineage[key]), digests, verified)
    if base:
        yield from disagreements("the sha256 of M_0", base, verified)
    yield from _base_findings(records, digests, verified)


def _base_findings(records: Records, digests: Digests, verified: Verified) -> Iterator[Finding]:
    if not records.base or not records.base["files"]:
        return
    path = records.name(records.layout.base_record())
    if verified.get(path) is False:  # dvc.lock tells that it is wrong, so it is no witness
        return
    if base_hash(records.base["files"]) != records.base["sha256"]:
        yield Finding(path, "changed", "its sha256 is not that of the files it lists")
    for name, sha256 in base_paths(records.base).items():
        yield from _against(name, RecordedValue(path, sha256), digests, verified)


def _against(path: str, entry: RecordedValue, digests: Digests, verified: Verified) -> Iterator[Finding]:
    """Compare one file with the one record of its sha256."""
    if path not in digests:
        yield Finding(path, "missing", f"{entry} names it, and it is not there, or cannot be read")
    else:
        yield from disagreements(f"the sha256 of {path}", [entry, RecordedValue(path, digests[path].sha256)], verified)


def base_paths(base: Mapping[str, object]) -> dict[str, str]:
    """Return {path from the project's root: sha256} of M_0's files."""
    model, vae, files = base["model"], base.get("vae"), base["files"]
    if not isinstance(files, Mapping):
        return {}
    return {
        f"{vae}/{name.removeprefix('vae/')}" if vae and name.startswith("vae/") else f"{model}/{name}": str(sha256)
        for name, sha256 in files.items()
    }
