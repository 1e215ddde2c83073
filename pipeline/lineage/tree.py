"""A lineage as a tree to read: one branch for each iteration, the last one first, down to where the chain starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.lineage.graph import Lineage, inputs

if TYPE_CHECKING:
    from rich.tree import Tree

    from pipeline.lineage.origin import Origin, Stray
    from pipeline.verify.locked import Stage

_SHORT = 12
_WORTH_SAYING = {
    "prepare": ("seed", "dataset", "prompts", "resolution", "model"),
    "curate": ("training_set",),
    "train": ("seed", "trainer", "start_from", "condition_drop", "rank", "unet_lr", "text_encoder_lr"),
    "sample": ("seed", "cfg", "schedule", "steps", "images_per_prompt"),
}
_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy")


def draw(lineage: Lineage, uncommitted: bool, stray: Stray | None = None, origin: Origin | None = None) -> Tree:
    """`uncommitted`: whether HEAD lacks what the work tree's run recorded."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(_title(lineage, stray, origin)))
    if origin is not None and origin.row:
        tree.add(Text(f"image {origin.row.get('image_index')} of prompt {origin.row.get('prompt_index')}: "
                      f"{origin.row.get('prompt')} (seed {origin.row.get('seed')})"))  # fmt: skip
    for k, stages in reversed(_by_iteration(lineage).items()):
        branch = tree.add(Text(f"k = {k}"))
        for stage in reversed(stages):
            _add_stage(branch, stage, lineage)
    _add_software(tree.add(Text("made with")), lineage, uncommitted)
    return tree


def _title(lineage: Lineage, stray: Stray | None, origin: Origin | None) -> str:
    place = f"{lineage.target} of {lineage.run}"
    if stray is None or origin is None:
        return place
    if origin.exact:
        return f"{stray.path.name} is {origin.row['file'] + ' in ' if origin.row else 'the LoRA of '}{place}"
    return f"{stray.path.name} is not recorded, but says that it comes from {place}"


def _by_iteration(lineage: Lineage) -> dict[int, list[Stage]]:
    """{k: its stages}, k rising; stages without a k belong to 0."""
    found: dict[int, list[Stage]] = {}
    for stage in lineage.stages:
        k = stage.name.partition("@")[2]
        found.setdefault(int(k) if k else 0, []).append(stage)
    return dict(sorted(found.items()))


def _add_stage(branch: Tree, stage: Stage, lineage: Lineage) -> None:
    from rich.text import Text

    kind = stage.name.partition("@")[0]
    told = ", ".join(f"{name} {stage.params[name]}" for name in _WORTH_SAYING.get(kind, ()) if name in stage.params)
    read = ", ".join(item.path for item in inputs(stage))
    node = branch.add(Text(f"{stage.name}: {told}" if told else stage.name))
    for item in stage.outs:
        node.add(Text(f"-> {item.path}  md5 {item.md5[:_SHORT]}{_record(lineage.records, item.path)}"))
    if read:
        node.add(Text(f"<- {read}"))


def _record(records: Mapping[str, Mapping[str, Any]], path: str) -> str:
    """What M_k's own record adds."""
    if (found := records.get(f"{path}/lineage.json")) is not None:
        return f"  LoRA sha256 {str(found.get('lora_sha256'))[:_SHORT]}, {found.get('steps')} steps"
    if (found := records.get(f"{path}/base.json")) is not None:
        return f"  {found.get('model')}, sha256 {str(found.get('sha256'))[:_SHORT]}"
    return ""


def _add_software(branch: Tree, lineage: Lineage, uncommitted: bool) -> None:
    from rich.text import Text

    software = lineage.software
    lines = [f"code: commit {software.commit or 'unknown'}{', with changes that are not committed' if uncommitted else ''}"]
    if software.changed:
        lines.append(f"not the version that ran: {', '.join(software.changed)}")
    lines += [f"sd-scripts: commit {commit}" for commit in software.sd_scripts] or ["sd-scripts: not used (builtin trainer)"]
    lines += [f"trained on: {machine}" for machine in software.machines]
    pins = software.libraries
    pinned = ", ".join(f"{name} {pins[name]}" for name in _LIBRARIES if name in pins)
    lines.append(f"libraries, as requirements.lock has them: {pinned or 'not recorded'}")
    for line in lines:
        branch.add(Text(line))
