"""What was run, in sentences that a stranger understands, from the parameters."""

from __future__ import annotations

from pipeline.chain.params import View
from pipeline.charts.numbers import counted, short
from pipeline.methods.policies import POLICIES
from pipeline.methods.registry import call
from pipeline.methods.schedules import make_schedule


def describe_parameters(params: View, prompts: int) -> list[str]:
    """Describe what was run in sentences: the chain, the finetuning, the conditioning, the sampling."""
    return [_chain(params, prompts), _finetuning(params), _conditioning(params), _sampling(params)]


def _chain(p: View, prompts: int) -> str:
    real = "drawn cartoon creatures" if p.dataset == "creatures" else f"the images of {p.folder}"
    noise = f" with Gaussian noise of {p.real_noise:g} added" if p.real_noise else ""
    each = f", {counted(p.images_per_prompt, 'image')} each" if p.images_per_prompt > 1 else ""
    start = counted(len(p.iterations), "iteration").capitalize()
    return f"{start} over {counted(prompts, 'prompt')}{each}, at {p.resolution} × {p.resolution} pixels; D₀ is {real}{noise}."


def _finetuning(p: View) -> str:
    start = f"the base model ({p.model}) afresh" if p.start_from == "base" else "the model of the iteration before"
    policy = POLICIES.named(p.training_set)
    material = policy.in_words(p.as_dict(), "the images of the iteration before", "the images of all iterations before")
    parts = {"both": "U-Net and text encoder", "unet": "the U-Net only", "text_encoder": "the text encoder only"}[p.train_parts]
    length = f"{counted(p.updates, 'update')}" if p.updates else f"{counted(p.epochs, 'epoch')}"
    length += f" of batch size {p.batch_size}"
    trainer = {"kohya": "kohya’s sd-scripts", "builtin": "the builtin trainer"}[p.trainer]
    lora = f"a LoRA of rank {p.rank} on {parts}"
    return f"Each iteration finetunes {start} on {material}: {lora}, {length}, {_rates(p)}, by {trainer}."


def _rates(p: View) -> str:
    rates = {"unet": f"{p.unet_lr:g}", "text_encoder": f"{p.text_encoder_lr:g}"}
    if p.train_parts != "both":
        return f"at a learning rate of {rates[p.train_parts]}"
    return f"at learning rates of {rates['unet']} (U-Net) and {rates['text_encoder']} (text encoder)"


def _conditioning(p: View) -> str:
    drops = {"condition drop": p.condition_drop, "kohya’s caption dropout": p.caption_dropout}
    sentences = [
        f"At each step an image is trained without its caption with probability {probability:g} ({name})."
        for name, probability in drops.items()
        if probability > 0
    ]
    return " ".join(sentences) or "Every image is trained with its caption: condition drop is off."


def _sampling(p: View) -> str:
    course = call(make_schedule(p).in_words)
    both = p.condition_drop > 0 and p.schedule == "exponential"
    redifine = " Condition drop and falling guidance together are the paper’s remedy, ReDiFine." if both else ""
    return f"Images are drawn in {counted(p.steps, 'step')} with {course}.{redifine}"


def describe_outcome(first: float, last: float, floor: float, iterations: int) -> str:
    """Describe FID_1, FID_K and the floor in a sentence."""
    nearest = (
        f"Two halves of the real images are {short(floor)} apart: half the images, and other captions, so generated images, "
        "which share their captions with the real ones, can come closer than that at first."
    )
    if iterations == 1:
        return f"After one iteration the images are at a distance of {short(first)} from the real ones. {nearest}"
    trend = _trend(first, last)
    return (
        f"From iteration 1 to iteration {iterations}, the distance to the real images {trend}: "
        f"from {short(first)} to {short(last)}. {nearest}"
    )


def _trend(first: float, last: float) -> str:
    if first <= 0.0:
        return "grew from nothing" if last > 0.0 else "hardly changed"
    change = last / first
    if 0.9 < change < 1.1:
        return "hardly changed"
    return f"grew {change:.1f}-fold" if change > 1.0 else f"fell to {change:.0%}"
