"""`redifine finetune`: sd-scripts on somebody's own config, against the unmodified scripts run as they are."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from pipeline.core.tensors import load_tensors, read_metadata, save_tensors
from pipeline.diffusion.families import FAMILIES
from pipeline.train.kohya.finetune_outcome import failed, one_line, outcome_of
from train.finetune_runs import command_line, job, run_jobs, write_run
from train.train_project import needs_sd_scripts

pytestmark = needs_sd_scripts


@dataclass(frozen=True)
class Runs:
    """The folder of the user's files, and of what each run left."""

    mine: Path
    out: Path

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        assert (self.out / name / "status").read_text() == "0", (self.out / name / "log.txt").read_text()[-3000:]
        return load_tensors(self.out / name / "mine.safetensors")[0]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_xl: Path) -> Runs:
    """All runs of sd-scripts that the tests look at; its start-up is most of their time."""
    folder = tmp_path_factory.mktemp("finetune")
    mine, blank = write_run(folder / "mine", tiny_model), write_run(folder / "blank", tiny_model, captions=False)
    mine_xl, blank_xl = write_run(folder / "xl", tiny_xl), write_run(folder / "blank_xl", tiny_xl, captions=False)
    folders = write_run(folder / "folders", tiny_model, dataset_config=None)
    (mine / "prompts.txt").write_text("a red creature --w 64 --h 64 --s 2 --d 1\n")
    out = folder / "out"
    short = ("--max_train_steps", "3")
    everything = ("--validation_split", "0.34", "--validate_every_n_steps", "2", "--sample_prompts", "prompts.txt",
                  "--sample_every_n_steps", "5", "--logging_dir", str(out / "logs"), "--save_state_on_train_end",
                  "--save_every_n_epochs", "1")  # fmt: skip
    by_folders = ("--train_data_dir", "img", "--resolution", "128", "--enable_bucket", "--min_bucket_reso", "64")
    run_jobs(
        folder,
        [
            job(out / "plain", mine, tiny_model, None),
            job(out / "blank", blank, tiny_model, None),
            job(out / "dropped", mine, tiny_model, 1.0),
            job(out / "half", mine, tiny_model, 0.5),
            job(out / "folders", folders, tiny_model, 0.2, *by_folders),
            job(out / "everything", mine, tiny_model, 0.2, *everything),
            job(
                out / "resumed", mine, tiny_model, 0.2, "--resume", str(out / "everything/mine-state"), "--max_train_steps", "9"
            ),
            job(out / "plain_xl", mine_xl, tiny_xl, None, *short, family="sdxl"),
            job(out / "kept_xl", mine_xl, tiny_xl, 0.0, *short, family="sdxl"),
            job(out / "blank_xl", blank_xl, tiny_xl, None, *short, family="sdxl"),
            job(out / "dropped_xl", mine_xl, tiny_xl, 1.0, *short, family="sdxl"),
        ],
    )
    return Runs(mine, out)


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def differ(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_without_condition_drop_the_command_gives_the_tensors_of_the_unmodified_script(runs: Runs, tmp_path: Path) -> None:
    done = command_line(runs.mine, "config.toml", "--output_dir", str(tmp_path / "my loras"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "running training" in done.stdout and "steps: 100%" in done.stderr
    lora = tmp_path / "my loras/mine.safetensors"
    # sd-scripts trains on the last layer where no clip_skip is set; the sampler's default is the last but one.
    assert f"redifine sample --lora '{lora}'" in done.stdout and "--clip-skip 1 --max-token-length 75" in done.stdout
    assert_same(load_tensors(lora)[0], runs.tensors("plain"))
    (dataset,) = json.loads(read_metadata(lora)["ss_datasets"])
    assert len(dataset["bucket_info"]["buckets"]) >= 3, "the sizes are mixed"


def test_condition_drop_of_one_is_training_on_empty_captions(runs: Runs) -> None:
    assert_same(runs.tensors("dropped"), runs.tensors("blank"))
    assert differ(runs.tensors("dropped"), runs.tensors("plain"))


def test_a_share_of_the_samples_is_neither(runs: Runs) -> None:
    assert differ(runs.tensors("half"), runs.tensors("plain")) and differ(runs.tensors("half"), runs.tensors("blank"))


def test_both_hold_for_sdxl_whose_script_is_another(runs: Runs) -> None:
    assert_same(runs.tensors("kept_xl"), runs.tensors("plain_xl"))
    assert_same(runs.tensors("dropped_xl"), runs.tensors("blank_xl"))
    assert differ(runs.tensors("dropped_xl"), runs.tensors("plain_xl"))


def test_folders_named_by_repeats_take_the_place_of_a_dataset_config(runs: Runs) -> None:
    assert runs.tensors("folders")
    folders = json.loads(read_metadata(runs.out / "folders/mine.safetensors")["ss_dataset_dirs"])
    assert folders == {"2_creature": {"n_repeats": 2, "img_count": 6}}


def test_validation_sample_images_logs_and_a_state_to_resume_are_the_scripts_own(runs: Runs) -> None:
    assert runs.tensors("everything")
    out = runs.out / "everything"
    assert list((out / "sample").glob("mine_*.png")), "sample images"
    log = (out / "log.txt").read_text()
    assert "validation" in log
    assert list((runs.out / "logs").rglob("events.out.tfevents.*")) or "'pip install tensorboard' first" in log
    assert json.loads((out / "mine-state/train_state.json").read_text())["current_step"] == 5
    assert differ(runs.tensors("resumed"), runs.tensors("everything"))


def test_the_lora_goes_to_the_sampler_and_to_diffusers(runs: Runs, tiny_model: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    from pipeline.sample.own_prompts import sample_prompts

    lora = runs.out / "half/mine.safetensors"
    drawn = sample_prompts(str(tiny_model), lora, ["a red creature"], tmp_path / "drawn", steps=2)
    plain = sample_prompts(str(tiny_model), None, ["a red creature"], tmp_path / "plain", steps=2)
    assert drawn[0].read_bytes() != plain[0].read_bytes()
    pipe = StableDiffusionPipeline.from_pretrained(tiny_model)
    pipe.load_lora_weights(str(lora.parent), weight_name=lora.name)
    assert pipe.get_active_adapters()


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("sd1", {}, ["--clip-skip", "1", "--max-token-length", "75"]),
        ("sd1", {"clip_skip": 2, "max_token_length": 225}, ["--clip-skip", "2", "--max-token-length", "225"]),
        ("sd1", {"vae": "my vae"}, ["--vae", "my vae", "--clip-skip", "1", "--max-token-length", "75"]),
        ("sdxl", {"clip_skip": 1, "max_token_length": 150}, ["--max-token-length", "150"]),
    ],
)
def test_the_named_command_draws_as_was_trained(
    family: str, settings: dict[str, object], words: list[str], tmp_path: Path
) -> None:
    """SDXL's script ignores clip_skip, and the sampler has one value for it."""
    lora = tmp_path / "a.safetensors"
    save_tensors(lora, {f"lora_unet_x.lora_{half}.weight": torch.ones(2, 2) for half in ("down", "up")})
    args = Namespace(
        **({"pretrained_model_name_or_path": "m", "vae": None, "clip_skip": None, "max_token_length": None} | settings)
    )
    start, end = ["redifine", "sample", "--lora", str(lora), "--model", "m"], ["--prompts", "FILE"]
    assert outcome_of(lora, args, FAMILIES[family])["draw"] == [*start, *words, *end]


def test_a_network_that_the_sampler_does_not_take_is_said_to_be_one(tmp_path: Path) -> None:
    lora = tmp_path / "a.safetensors"
    save_tensors(lora, {"oft_unet_x.oft_blocks": torch.ones(2, 2)})
    outcome = outcome_of(lora, Namespace(), FAMILIES["sd1"])
    assert "OFT" in outcome["undrawable"] and "draw" not in outcome


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("it must divide by 64. stepsが32です。64で", "it must divide by 64."),
        ("no file / ファイルがありません: a.png", "no file"),
        ("a / b", "a / b"),
    ],
)
def test_sd_scripts_words_are_given_in_english_alone(words: str, line: str) -> None:
    assert one_line(words) == line


def _load_tokenizer() -> None:
    """Fail where sd-scripts fails, without a network, for a single file."""
    raise ImportError("requires the protobuf library" + " but it was not found" * 100)


def test_a_tokenizer_that_is_not_here_names_the_way_to_one_and_long_words_are_cut(tmp_path: Path) -> None:
    args = Namespace(output_dir=str(tmp_path), pretrained_model_name_or_path="my model.safetensors")
    with pytest.raises(ImportError) as caught:
        _load_tokenizer()
    sentence = str(failed(caught.value, args, {}, []))
    assert "redifine base fetch 'my model.safetensors' --tokenizer PATH" in sentence and len(sentence) < 1000
    assert str(caught.value) in (tmp_path / "finetune-error.log").read_text()
    args.pretrained_model_name_or_path = str(tmp_path)
    assert "leave out tokenizer_cache_dir" in str(failed(caught.value, args, {}, []))
