"""README.md of an export: a data card or a model card with the YAML header that the hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.methods.chosen import read_by_methods
from pipeline.methods.policies import POLICIES

PAPER = "https://arxiv.org/abs/2407.17493"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_CARD_PARAMETERS = ("cfg", "schedule", "steps", "seed", "resolution", "training_set", "condition_drop", "trainer", "rank",
                    "updates", "epochs")  # fmt: skip

_LAYOUTS = {
    "hf-dataset": "`train/*.png`, and `train/metadata.jsonl` with `file_name` and `text`: "
    "`datasets.load_dataset('imagefolder', data_dir='.')`.",
    "webdataset": "`train-*.tar`, in each for every image a `.png`, its caption `.txt` and `.json`.",
    "folder": "`1_D_{k}/*.png` with a `.txt` caption beside each: `train_network.py --train_data_dir .` of sd-scripts.",
}
_FILES = {"hf-dataset": "train/**", "webdataset": "train-*.tar"}


def data_card(name: str, format_: str, images: int, licence: str, lineage: Mapping[str, Any]) -> str:
    """Return text of the README.md of a D_k with `images` images."""
    k = lineage["generation"]
    kind = "real images" if k == 0 else f"synthetic images of generation {k}"
    return f"""{_data_header(name, format_, images, licence, k)}
# {name}

{images} {kind} with captions: D_{k} of a Chain of Diffusion, in which a text-to-image model is finetuned on its own output
again and again ([paper]({PAPER})).{_warning(k)}

## Lineage

{ancestry(lineage)}

{_table(lineage)}

`lineage.json` has all parameters, and the hash of every D_j and M_j before this one.

## Files

{_LAYOUTS[format_].format(k=k)}
`sha256sum --check SHA256SUMS` checks every file; `redifine import` does so and takes the images as D_0 of another chain.

## Licence

{_licence(licence)}
"""


def _data_header(name: str, format_: str, images: int, licence: str, k: int) -> str:
    from huggingface_hub import DatasetCardData

    files = [{"config_name": "default", "data_files": [{"split": "train", "path": _FILES.get(format_)}]}]
    header = DatasetCardData(
        license=licence,
        pretty_name=name,
        language="en",
        tags=["chain-of-diffusion", f"generation-{k}", "synthetic" if k else "real", "image", "text"],
        task_categories=["text-to-image"],
        size_categories=[next((text for limit, text in _SIZES if images < limit), "n>1M")],
        annotations_creators=["machine-generated"] if k else ["other"],
        configs=files if format_ in _FILES else None,
    )
    return _front_matter(header.to_yaml())


def model_card(name: str, file: str, licence: str, triggers: list[str], lineage: Mapping[str, Any]) -> str:
    """Return text of the README.md of an M_k."""
    k = lineage["generation"]
    base = lineage["base_model"]
    words = ", ".join(f"`{word}`" for word in triggers) or "none: its captions have no words in common"
    return f"""{_model_header(name, licence, triggers, k)}
# {name}

M_{k} of a Chain of Diffusion ([paper]({PAPER})): a LoRA of {base["name"]} (sha256 {base["sha256"]}), finetuned
{_start(lineage)}on {_training_images(lineage)}, in kohya's key format.{_warning(k - 1)}

Trigger words: {words}.

- A1111, Forge: put `{file}` and the `.json` beside it into `models/Lora`, and write `<lora:{name}:1>`.
- ComfyUI: put it into `models/loras`; the node Load LoRA takes it.
- diffusers: `pipe.load_lora_weights(".", weight_name="{file}")`

## Lineage

{ancestry(lineage)}

{_table(lineage)}

## Licence

{_licence(licence)}
"""


def _model_header(name: str, licence: str, triggers: list[str], k: int) -> str:
    from huggingface_hub import ModelCardData

    header = ModelCardData(
        license=licence,
        model_name=name,
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=["lora", "stable-diffusion", "chain-of-diffusion", f"generation-{k}"],
        instance_prompt=", ".join(triggers) or None,
    )
    return _front_matter(header.to_yaml())


def _front_matter(yaml: str) -> str:
    return f"---\n{yaml.strip()}\n---\n"


def _warning(k: int) -> str:
    if k < 1:
        return ""
    return (
        f"\nImages made by a model, not by people, {k} time(s) over, are in it: expect artefacts and lost variety, "
        "and say so of whatever you train on them."
    )


def _table(lineage: Mapping[str, Any]) -> str:
    parameters, metrics = lineage["parameters"], lineage["metrics"]
    keys = dict.fromkeys([*_CARD_PARAMETERS, *read_by_methods(parameters)])
    rows = [(key, parameters[key]) for key in keys if parameters.get(key) is not None]
    rows += [("FID", f"{metrics['fid']:.2f}")] if "fid" in metrics else []
    rows += [("code", lineage["code_commit"])] if lineage["code_commit"] else []
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows)])


def _licence(licence: str) -> str:
    if licence == "unknown":
        return "Not stated. Ask whoever shares this before you use it."
    return f"{licence}. The licences of the base model and of the real images may bind you as well."


def ancestry(lineage: Mapping[str, Any]) -> str:
    """Return one sentence on how this generation was made."""
    k = lineage["generation"]
    if k == 0:
        return "D_0: the real images that the chain starts from."
    steps = " -> ".join(f"M_{j} -> D_{j}" for j in range(1, k + 1))
    base = lineage["base_model"]["name"]
    return f"D_0 (real images) -> {steps}: {base} finetuned {_start(lineage)}on {_training_images(lineage)} made M_{k}."


def _training_images(lineage: Mapping[str, Any]) -> str:
    """Return what M_k was finetuned on, in words."""
    k, parameters = lineage["generation"], lineage["parameters"]
    policy = POLICIES.get(name := parameters.get("training_set", "replace"))
    if k == 1:
        return "the real images D_0"
    if policy is None:
        return f"images of earlier generations (training_set: {name})"
    before, all_before = f"synthetic images of generation {k - 1}", f"the images of all generations up to {k - 1}"
    return policy.in_words(parameters, before, all_before)


def _start(lineage: Mapping[str, Any]) -> str:
    """ "from M_2 on, " where the LoRA went on from the one before, else nothing."""
    k, previous = lineage["generation"], lineage["parameters"].get("start_from") == "previous"
    return f"from M_{k - 1} on, " if previous and k > 1 else ""
