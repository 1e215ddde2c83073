"""A lineage as a tree to read: one branch for each iteration, the last one first, down to where the chain starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from rich.tree import Tree

from pipeline.methods.chosen import read_by_methods
from pipeline.provenance.lineage.ancestry import inputs
from pipeline.provenance.lineage.graph import Lineage
from pipeline.provenance.lineage.identify import Match, UnknownFile
from pipeline.provenance.lineage.runs import CodeVersion
from pipeline.versioning.dvc_lock import StageEntry

_SHORT = 12
_WORTH_SAYING = {
    "prepare": ("seed", "dataset", "prompts", "resolution", "model"),
    "curate": ("training_set",),
    "train": ("seed", "trainer", "start_from", "condition_drop", "rank", "unet_lr", "text_encoder_lr"),
    "sample": ("seed", "cfg", "schedule", "steps", "images_per_prompt"),
}
_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy")


def text_tree(lineage: Lineage, file: UnknownFile | None = None, match: Match | None = None) -> Tree:
    """Draw the lineage as a tree: `file`, when the question was about a file, and where it belongs."""
    tree = Tree(Text(_title(lineage, file, match)))
    if match is not None and match.row:
        tree.add(Text(_image(match.row)))
    for k, stages in reversed(_by_iteration(lineage).items()):
        branch = tree.add(Text(f"k = {k}"))
        for stage in reversed(stages):
            _add_stage(branch, stage, lineage)
    _add_software(tree.add(Text("made with")), lineage)
    return tree


def _image(row: Mapping[str, Any]) -> str:
    """Return a row of a manifest; real images have no seed."""
    seed = "" if row.get("seed") is None else f" (seed {row['seed']})"
    return f"image {row.get('image_index')} of prompt {row.get('prompt_index')}: {row.get('prompt')}{seed}"


def _title(lineage: Lineage, file: UnknownFile | None, match: Match | None) -> str:
    place = f"{lineage.target} of {lineage.run}"
    if file is None or match is None:
        return place
    if match.exact:
        return f"{file.path.name} is {match.row['file'] + ' in ' if match.row else 'the LoRA of '}{place}"
    return f"{file.path.name} is not recorded, but says that it comes from {place}"


def _by_iteration(lineage: Lineage) -> dict[int, list[StageEntry]]:
    """Return {k: its stages}, k rising; stages without a k belong to 0."""
    found: dict[int, list[StageEntry]] = {}
    for stage in lineage.stages:
        k = stage.name.partition("@")[2]
        found.setdefault(int(k) if k else 0, []).append(stage)
    return dict(sorted(found.items()))


def _add_stage(branch: Tree, stage: StageEntry, lineage: Lineage) -> None:
    kind = stage.name.partition("@")[0]
    names = dict.fromkeys([*_WORTH_SAYING.get(kind, ()), *read_by_methods(stage.params)])
    settings = ", ".join(f"{name} {stage.params[name]}" for name in names if stage.params.get(name) is not None)
    read = ", ".join(item.path for item in inputs(stage))
    node = branch.add(Text(f"{stage.name}: {settings}" if settings else stage.name))
    for item in stage.outs:
        node.add(Text(f"-> {item.path}  md5 {item.md5[:_SHORT]}{_record(lineage.records, item.path)}"))
    if read:
        node.add(Text(f"<- {read}"))


def _record(records: Mapping[str, Mapping[str, Any]], path: str) -> str:
    """Return what M_k's own record adds."""
    if (found := records.get(f"{path}/lineage.json")) is not None:
        return f"  LoRA sha256 {str(found.get('lora_sha256'))[:_SHORT]}, {found.get('steps')} steps"
    if (found := records.get(f"{path}/base.json")) is not None:
        return f"  {found.get('model')}, sha256 {str(found.get('sha256'))[:_SHORT]}"
    return ""


def _add_software(branch: Tree, lineage: Lineage) -> None:
    lines = _code(lineage.code)
    lines += [f"sd-scripts: commit {commit}" for commit in lineage.sd_scripts] or ["sd-scripts: not used (builtin trainer)"]
    lines += [f"trained on: {machine}" for machine in lineage.machines]
    pinned = ", ".join(f"{name} {lineage.libraries[name]}" for name in _LIBRARIES if name in lineage.libraries)
    lines.append(f"libraries, as requirements.lock has them: {pinned or 'not recorded'}")
    for line in lines:
        branch.add(Text(line))


def _code(code: CodeVersion) -> list[str]:
    """Return which version of this project it was, and where that is in doubt."""
    if code.commit:
        lines = [f"code: commit {code.commit}{f' ({code.name})' if code.name else ''}, the first that records this"]
    elif code.head:
        lines = [f"code: not committed yet; HEAD is {code.head}"]
    else:
        lines = ["code: commit unknown, the project is not in Git"]
    place = "the commit" if code.commit else "HEAD" if code.head else "the work tree"
    return lines + ([f"{place} has another version than ran of: {', '.join(code.changed)}"] if code.changed else [])
