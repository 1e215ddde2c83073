"""Run jobs with the vendored sd-scripts: import it once, then fork for each, because it trains once per process.

Usage: kohya_jobs.py JOBS.json SD_SCRIPTS. Each job runs in its project's root and leaves what it found in its `out` folder.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before sd-scripts imports torchvision)

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(sys.argv[2])

import sdxl_train_network
import train_network
from library import config_util, strategy_sd, strategy_sdxl, train_util
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from pipeline.diffusion.families import FAMILIES
from pipeline.train.kohya.entry import trainer_class
from pipeline.train.kohya.launch import Options


class Recording:
    """Mixed into a trainer of sd-scripts', it also writes down all that chance decides, and the losses."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.out, self.steps, self.start = out, [], {}
        original = train_util.get_noise_noisy_latents_and_timesteps

        def recording(*arguments: Any) -> Any:
            noise, noisy, timesteps = original(*arguments)
            self.steps[-1] |= {"noise": noise.clone(), "timesteps": timesteps.clone()}
            return noise, noisy, timesteps

        train_util.get_noise_noisy_latents_and_timesteps = recording

    def on_step_start(self, args: Any, accelerator: Any, network: Any, *rest: Any, **named: Any) -> None:
        if not self.steps:
            self.start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        batch = rest[2]
        self.steps.append({"captions": batch["captions"], "flips": batch["flippeds"], "posterior": []})

    def encode_images_to_latents(self, args: Any, vae: Any, images: torch.Tensor) -> torch.Tensor:
        posterior = vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape)
        self.steps[-1]["posterior"].append(noise)
        return posterior.mean + posterior.std * noise

    def process_batch(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss = super().process_batch(*arguments, **named)
        self.steps[-1]["loss"] = loss.item()
        return loss

    def train(self, args: Any) -> None:
        super().train(args)
        torch.save({"steps": self.steps, "start": self.start}, self.out / "record.pt")


def run(job: dict[str, Any]) -> None:
    out, xl = Path(job["out"]), job.get("sdxl", False)
    os.chdir(job["root"])
    sys.argv = ["train_network.py", "--config_file", job["config"], "--output_dir", job["out"]]
    parser = (sdxl_train_network if xl else train_network).setup_parser()
    args = train_util.read_config_from_file(parser.parse_args(), parser)
    family = "sdxl" if xl else "sd1"
    adapter = FAMILIES[family].sd_scripts
    adapter.set_sizes(args.pretrained_model_name_or_path)
    plain = sdxl_train_network.SdxlNetworkTrainer if xl else train_network.NetworkTrainer
    adapted = adapter.trainer(sdxl_train_network if xl else train_network)
    if job["kind"] == "check":
        _check(parser, args, out)
    elif job["kind"] == "plain":
        plain().train(args)
    elif job["kind"] == "record":
        type("Recorder", (Recording, adapted), {})(out).train(args)
    elif job["kind"] == "entry":
        options = Options(job["condition_drop"], str(out / "loss.csv"), family)
        trainer_class(adapted, options)().train(args)
    elif job["kind"] == "encode":
        torch.save(_encoded(args, job["prompts"], xl), out / "encoded.pt")


@torch.no_grad()
def _encoded(args: Any, prompts: list[str], xl: bool) -> dict[str, list[torch.Tensor]]:
    """What sd-scripts' own strategies make of prompts: token ids, and what the text encoders make of those."""
    folder = args.pretrained_model_name_or_path
    encoders = [CLIPTextModel.from_pretrained(folder, subfolder="text_encoder")]
    if xl:
        encoders.append(CLIPTextModelWithProjection.from_pretrained(folder, subfolder="text_encoder_2"))
        tokenize = strategy_sdxl.SdxlTokenizeStrategy(args.max_token_length, args.tokenizer_cache_dir)
        encode = strategy_sdxl.SdxlTextEncodingStrategy()
    else:
        tokenize = strategy_sd.SdTokenizeStrategy(False, args.max_token_length, args.tokenizer_cache_dir)
        encode = strategy_sd.SdTextEncodingStrategy(args.clip_skip)
    ids = tokenize.tokenize(prompts)
    return {"ids": list(ids), "encoded": list(encode.encode_tokens(tokenize, encoders, list(ids)))}


def _check(parser: Any, args: Any, out: Path) -> None:
    """Write the parser's keys and types, and let sd-scripts' schema judge dataset.toml."""
    actions = {action.dest: action for action in parser._actions}
    types = {name: getattr(action.type, "__name__", None) for name, action in actions.items()}
    choices = {name: list(action.choices) for name, action in actions.items() if action.choices}
    sanitizer = config_util.ConfigSanitizer(True, True, False, True)
    sanitizer.sanitize_user_config(config_util.load_user_config(args.dataset_config))
    (out / "parser.json").write_text(json.dumps({"types": types, "choices": choices}))


def main() -> None:
    torch.set_num_threads(1)
    for job in json.loads(Path(sys.argv[1]).read_text()):
        out = Path(job["out"])
        out.mkdir(parents=True)
        child = os.fork()
        if child == 0:
            log = os.open(out / "log.txt", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            run(job)
            sys.stdout.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(f"job {job['kind']} failed:\n{(out / 'log.txt').read_text()[-3000:]}")


if __name__ == "__main__":
    main()
