"""Hold the chain's own records against each other and against the files that they name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from pipeline.chain.paths import image_name
from pipeline.core.randomness import image_seed
from pipeline.inputs.base_models.identity import base_hash
from pipeline.provenance.verify.findings import Claim, Finding, disagreements
from pipeline.provenance.verify.records import LINEAGE, Records
from pipeline.versioning.hashes import Digest

Digests = Mapping[str, Digest]
Sound = Mapping[str, bool]


def image_findings(records: Records, digests: Digests, sound: Sound, shards: Mapping[str, str]) -> Iterator[Finding]:
    """Images that are missing, extra, swapped or changed, and rows of D_k and T_k with a wrong sha256.

    `shards` says in which shard an image is, where it is no file of its own.
    """
    claims = _hash_claims(records)
    owner = {found[0].value: path for path, found in reversed(list(claims.items()))}
    for path, found in claims.items():
        digest = digests.get(path)
        where = f" in {shards[path]}" if path in shards else ""
        if digest is None:
            if sound.get(found[0].path) is not False:
                yield Finding(path, "missing", f"{found[0]} names it{where}, and it is not there, or cannot be read")
        elif (other := owner.get(digest.sha256, path)) != path and not sound.get(path):
            yield Finding(path, "swapped", f"it holds{where} the content of {other}")
        else:
            yield from disagreements(f"the sha256 of {path}{where}", [*found, Claim(path, digest.sha256)], sound)
    holders = set(shards.values())
    for k in records.manifests:
        yield from _unlisted(records, k, digests.keys() - holders, sound)


def _hash_claims(records: Records) -> dict[str, list[Claim]]:
    """{image: what manifests and training sets say about its sha256}."""
    claims: dict[str, list[Claim]] = defaultdict(list)
    for k, rows in records.manifests.items():
        manifest, folder = records.name(records.layout.manifest(k)), records.name(records.layout.images(k))
        for line, row in enumerate(rows, 1):
            claims[f"{folder}/{row['file']}"].append(Claim(manifest, row["sha256"], line))
    for k, rows in records.training_sets.items():
        name = records.name(records.layout.training_set(k))
        for line, row in enumerate(rows, 1):
            claims[row["path"]].append(Claim(name, row["sha256"], line))
    return claims


def _unlisted(records: Records, k: int, paths: Collection[str], sound: Sound) -> Iterator[Finding]:
    """Those of `paths` in D_k's folder that its manifest does not list; a manifest known to be wrong is no witness."""
    manifest, folder = records.name(records.layout.manifest(k)), records.name(records.layout.images(k))
    listed = {f"{folder}/{row['file']}" for row in records.manifests[k]} | {manifest}
    for path in paths:
        if path.startswith(f"{folder}/") and path not in listed and not (sound.get(path) and not sound.get(manifest)):
            yield Finding(path, "extra", f"{manifest} does not list it")


def prompt_findings(records: Records, sound: Sound) -> Iterator[Finding]:
    """Prompts and captions that are not the same in P, the manifests and the training sets."""
    claims: dict[int, list[Claim]] = defaultdict(list)
    for line, row in enumerate(records.prompts, 1):
        claims[row["index"]].append(Claim(records.name(records.layout.prompts), row["prompt"], line))
    for k, rows in records.manifests.items():
        for line, row in enumerate(rows, 1):
            claims[row["prompt_index"]].append(Claim(records.name(records.layout.manifest(k)), row["prompt"], line))
    for k, rows in records.training_sets.items():
        for line, row in enumerate(rows, 1):
            claims[row["prompt_index"]].append(Claim(records.name(records.layout.training_set(k)), row["caption"], line))
    for index, found in claims.items():
        yield from disagreements(f"the text of prompt {index}", found, sound)


def row_findings(records: Records, seed: int | None) -> Iterator[Finding]:
    """Rows whose place in the chain is not that of their image, seeds that are not the run's, and prompts without images."""
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


def model_findings(records: Records, digests: Digests, sound: Sound) -> Iterator[Finding]:
    """M_k's LoRAs and training sets against lineage.json, and M_0's files against base.json."""
    base = [Claim(records.name(records.layout.base_record()), records.base["sha256"])] if records.base else []
    for k, lineage in records.lineages.items():
        path = records.name(records.layout.model(k) / LINEAGE)
        base.append(Claim(path, lineage["base_sha256"]))
        named = [(records.layout.lora(k), "lora_sha256"), (records.layout.training_set(k), "training_set_sha256")]
        if lineage.get("previous_lora_sha256"):
            named.append((records.layout.lora(k - 1), "previous_lora_sha256"))
        for file, key in named:
            yield from _against(records.name(file), Claim(path, lineage[key]), digests, sound)
    if base:
        yield from disagreements("the sha256 of M_0", base, sound)
    yield from _base_findings(records, digests, sound)


def _base_findings(records: Records, digests: Digests, sound: Sound) -> Iterator[Finding]:
    if not records.base or not records.base["files"]:
        return
    path = records.name(records.layout.base_record())
    if sound.get(path) is False:  # dvc.lock tells that it is wrong, so it is no witness
        return
    if base_hash(records.base["files"]) != records.base["sha256"]:
        yield Finding(path, "changed", "its sha256 is not that of the files it lists")
    for name, sha256 in base_paths(records.base).items():
        yield from _against(name, Claim(path, sha256), digests, sound)


def _against(path: str, claim: Claim, digests: Digests, sound: Sound) -> Iterator[Finding]:
    """One file against the one record of its sha256."""
    if path not in digests:
        yield Finding(path, "missing", f"{claim} names it, and it is not there, or cannot be read")
    else:
        yield from disagreements(f"the sha256 of {path}", [claim, Claim(path, digests[path].sha256)], sound)


def base_paths(base: Mapping[str, object]) -> dict[str, str]:
    """{path from the project's root: sha256} of M_0's files."""
    model, vae, files = base["model"], base.get("vae"), base["files"]
    if not isinstance(files, Mapping):
        return {}
    return {
        f"{vae}/{name.removeprefix('vae/')}" if vae and name.startswith("vae/") else f"{model}/{name}": str(sha256)
        for name, sha256 in files.items()
    }
