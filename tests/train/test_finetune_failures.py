"""`redifine finetune` on configs that cannot come to a LoRA: one sentence each, before or after sd-scripts has begun."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import toml
import torch

from pipeline.chain import paths
from pipeline.core.errors import UserError
from pipeline.core.tensors import save_tensors
from pipeline.train.kohya.finetune import finetune
from pipeline.train.kohya.hooks import with_condition_drop
from train.finetune_runs import REPOSITORY, command_line, job, run_jobs, write_run
from train.train_project import needs_sd_scripts


def _without_pictures(root: Path) -> None:
    for path in (root / "img/2_creature").iterdir():
        path.unlink()


def _unknown_dataset_key(root: Path) -> None:
    text = (root / "dataset.toml").read_text()
    (root / "dataset.toml").write_text(text.replace("num_repeats", "num_repeat"))


def _elsewhere(root: Path) -> None:
    text = (root / "dataset.toml").read_text()
    (root / "dataset.toml").write_text(text.replace("img/2_creature", "nowhere/2_creature"))


def _pickle(root: Path) -> None:
    torch.save({}, root / "old.pt")


def _predicting_v(root: Path) -> None:
    """Give the run a model of its own, whose scheduler says that it predicts v."""
    config = (root / "config.toml").read_text()
    model = Path(toml.loads(config)["everything"]["pretrained_model_name_or_path"])
    shutil.copytree(model, root / "v")
    (root / "config.toml").write_text(config.replace(f'"{model}"', '"v"'))
    scheduler = root / "v/scheduler/scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"prediction_type": "v_prediction"}))


def _utf16(root: Path) -> None:
    (root / "config.toml").write_bytes((root / "config.toml").read_text().encode("utf-16"))


def _western(root: Path) -> None:
    (root / "config.toml").write_bytes((root / "config.toml").read_text().replace("mine", "Größe").encode("cp1252"))


def _byte_order_mark(root: Path) -> None:
    (root / "config.toml").write_bytes(codecs.BOM_UTF8 + (root / "config.toml").read_bytes())


def _second_config(root: Path) -> None:
    """Write another config, whose captions are weighted, so that condition drop would not be heard of."""
    (root / "other.toml").write_text((root / "config.toml").read_text() + "weighted_captions = true\n")


def _truncated(root: Path) -> None:
    path = root / "img/2_creature/3.png"
    path.write_bytes(path.read_bytes()[:2000])


def _western_caption(root: Path) -> None:
    (root / "img/2_creature/3.txt").write_bytes("grünes Wesen".encode("cp1252"))


def _other_tensors(root: Path) -> None:
    save_tensors(root / "unet.safetensors", {"conv_in.weight": torch.zeros(2, 2)})


def _of_sdxl(root: Path) -> None:
    name = "lora_te2_text_model_encoder_layers_0_mlp_fc1"  # the other family has one text encoder, lora_te
    halves = {f"{name}.lora_down.weight": torch.ones(2, 8), f"{name}.lora_up.weight": torch.ones(8, 2)}
    save_tensors(root / "xl.safetensors", halves)


def _nothing(root: Path) -> None:
    pass


# name: (condition drop, options, changes of the config, what happens to the folder, the sentence)
CASES: dict[str, tuple[float, tuple[str, ...], dict[str, object], Callable[[Path], None], str]] = {
    "weighted captions": (0.2, (), {"weighted_captions": True}, _nothing, "sets weighted_captions: .*drop cannot reach"),
    "weighted captions by option": (0.2, ("--weighted_captions",), {}, _nothing, "weighted_captions: .*leave out --condition"),
    "condition drop in the config": (0.0, (), {"condition_drop": 0.2}, _nothing, "give --condition-drop on the command line"),
    "misspelt option": (0.0, ("--netwrk_dim", "4"), {}, _nothing, "unrecognized arguments: --netwrk_dim"),
    "no number": (0.0, ("--max_train_steps", "many"), {}, _nothing, "max_train_steps: invalid int value: 'many'"),
    "no model": (0.0, (), {"pretrained_model_name_or_path": None}, _nothing, "names no pretrained_model_name_or_path"),
    "model of the hub": (0.0, (), {"pretrained_model_name_or_path": "a/b"}, _nothing, "redifine base fetch a/b"),
    "model elsewhere": (0.0, ("--pretrained_model_name_or_path", "x.safetensors"), {}, _nothing, "from the current folder"),
    "only a VAE": (0.0, (), {"pretrained_model_name_or_path": "{model}/vae"}, _nothing, "is a vae, and finetuning needs"),
    "v-prediction model": (0.2, (), {}, _predicting_v, "predict"),
    "a pickle to go on from": (0.0, ("--network_weights", "old.pt"), {}, _pickle, "old.pt is a pickle"),
    "no output": (0.0, (), {"output_dir": None}, _nothing, "names no output_dir"),
    "no data named": (0.0, (), {"dataset_config": None}, _nothing, "neither dataset_config nor train_data_dir"),
    "no network": (0.0, (), {"network_module": None}, _nothing, r'network_module .*networks\.lora'),
    "another target": (0.0, (), {"v_parameterization": True}, _nothing, "sets v_parameterization, and .* is none of that kind"),
    "half precision": (0.2, (), {"mixed_precision": "fp16"}, _nothing, 'set mixed_precision = "no"'),
    "a folder that is not there": (0.0, (), {}, _elsewhere, "image_dir in dataset.toml is nowhere/2_creature"),
    "no pictures": (0.2, (), {}, _without_pictures, "wrote no .*mine.safetensors: it found no images where dataset.toml"),
    "dataset key": (0.0, (), {}, _unknown_dataset_key, "extra keys not allowed.*num_repeat"),
    "resolution is no text": (0.0, (), {"dataset_config": None, "train_data_dir": "img", "resolution": 128}, _nothing,
                              "resolution is 128, where sd-scripts takes text in quotes"),
    "config in UTF-16": (0.0, (), {}, _utf16, r"config\.toml is not UTF-8"),
    "config in cp1252": (0.0, (), {}, _western, r"config\.toml is not UTF-8"),
    "byte order mark": (0.0, (), {}, _byte_order_mark, "begins with a byte order mark"),
    "two configs": (0.2, ("--config", "other.toml"), {}, _second_config, "another config file, other.toml, beside config.toml"),
    "truncated picture": (0.2, (), {}, _truncated, "truncated; .*'redifine dataset check folder img/2_creature' names it"),
    "caption in cp1252": (0.2, (), {}, _western_caption, "'redifine dataset check folder img/2_creature' names it"),
    "no state": (0.2, ("--resume", "img"), {}, _nothing, "resume in config.toml is img, which holds no saved state"),
    "no LoRA to go on from": (0.2, ("--network_weights", "unet.safetensors"), {}, _other_tensors, "no LoRA with kohya's"),
    "a LoRA of SDXL to go on from": (0.2, ("--network_weights", "xl.safetensors"), {}, _of_sdxl,
                                     "xl.safetensors, a LoRA of SDXL, and the model is Stable Diffusion 1"),
    "argument without a value": (0.0, ("--network_args", "conv_dim"), {}, _nothing, "'conv_dim'; write it as \"name=value\""),
    "diverged": (0.2, ("--unet_lr", "1e30"), {}, _nothing, "holds NaN or infinity.* lower unet_lr"),
    "unknown network": (0.0, (), {"network_module": "networks.nothing"}, _nothing, "No module named 'networks.nothing'"),
}  # fmt: skip


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Where the runs of CASES have left their outcome."""
    folder, jobs = tmp_path_factory.mktemp("failures"), []
    for index, (drop, options, changes, change, _) in enumerate(CASES.values()):
        filled = {key: value.format(model=tiny_model) if isinstance(value, str) else value for key, value in changes.items()}
        root = write_run(folder / f"run{index}", tiny_model, **filled)
        change(root)
        run = job(folder / f"out{index}", root, tiny_model, drop, *options)
        if changes.get("output_dir", "") is None:
            run["argv"] = run["argv"][:2]
        jobs.append(run)
    run_jobs(folder, jobs)
    return folder


@needs_sd_scripts
@pytest.mark.parametrize("name", CASES)
def test_a_config_that_cannot_come_to_a_lora_is_one_sentence(failed: Path, name: str) -> None:
    import re

    out = failed / f"out{list(CASES).index(name)}"
    log = (out / "log.txt").read_text()
    assert (out / "status").read_text() == "2", log[-2000:]
    sentence = json.loads((out / "outcome.json").read_text())["error"]
    assert re.search(CASES[name][-1], sentence), sentence
    assert "\n" not in sentence and "Traceback" not in log and sentence.isascii()


@needs_sd_scripts
def test_paths_count_from_the_folder_in_which_the_command_is_typed(tiny_model: Path, tmp_path: Path) -> None:
    """A folder inside of a project is no reason to go to the project's root."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    root = write_run(tmp_path / "mine/kohya", tiny_model, weighted_captions=True)
    done = command_line(root, "config.toml", "--condition-drop", "0.2")
    assert "Error: config.toml sets weighted_captions" in done.stderr
    above = command_line(tmp_path, "mine/kohya/config.toml", "--condition-drop", "0.2")
    assert f"count from the current folder, {tmp_path}: run the command in {root}" in above.stderr


@needs_sd_scripts
def test_the_command_ends_with_the_sentence_and_two(tiny_model: Path, tmp_path: Path) -> None:
    root = write_run(tmp_path / "run", tiny_model, weighted_captions=True)
    done = command_line(root, "config.toml", "--condition-drop", "0.2")
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("Error: config.toml sets weighted_captions")
    assert "Traceback" not in done.stderr and not (root / "out").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("none.toml",), "there is no file none.toml"),
        (("config.yaml",), "config.yaml must be sd-scripts' config file"),
        (("--network_dim", "4", "config.toml"), "give it before all options"),
        (("config.toml", "--config_file=other.toml"), "give one config file"),
    ],
    ids=["missing", "no TOML", "options first", "two configs"],
)
def test_a_wrong_config_is_told_without_sd_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "config.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "sd_scripts", lambda root: tmp_path)
    with pytest.raises(UserError, match=sentence):
        finetune(Path(words[0]), words[1:], 0.2, "cpu")


def test_absent_sd_scripts_name_the_command_that_brings_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("")
    monkeypatch.setattr(paths, "sd_scripts", lambda root: None)
    with pytest.raises(UserError, match=f"run 'make vendor' in {REPOSITORY}"):
        finetune(tmp_path / "config.toml", (), 0.2, "cpu")


@needs_sd_scripts
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("to_all", [True, False], ids=["from the keyboard", "to the command alone"])
def test_an_interrupt_ends_both(tiny_model: Path, tmp_path: Path, to_all: bool) -> None:
    root = write_run(tmp_path / "run", tiny_model, max_train_steps=100_000)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "finetune", "config.toml"], cwd=root, env=environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        while b"avr_loss" not in (tmp_path / "log").read_bytes():
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
            time.sleep(0.1)
        assert len(_members(process.pid)) >= 2
        os.killpg(process.pid, signal.SIGINT) if to_all else process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert not _members(process.pid)
    finally:
        process.kill()  # what it started dies with it
    text = (tmp_path / "log").read_text()
    assert text.rstrip().splitlines()[-1].startswith("Stopped: what sd-scripts has saved is kept"), text[-500:]


def _members(group: int) -> list[int]:
    """Return the live processes of a group."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, own = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(own) == group and state not in "ZX":
            found.append(int(status.parent.name))
    return found


class _Script:
    def load_target_model(self, *arguments: object) -> None: ...


def _rows(batches: int, first: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Return what condition drop of 0.5 leaves of each batch, zeros where a row was dropped."""
    from pipeline.train.kohya import hooks

    monkeypatch.setattr(hooks, "_empty_prompt", lambda: [torch.zeros(1, 1, 77)])
    trainer = with_condition_drop(_Script, 0.5)()
    args = type("Args", (), {"seed": 5} | first)
    found = []
    for _ in range(batches):
        validated = {"input_ids_list": [torch.ones(8, 1, 77)]}
        trainer.on_step_start(args, None, None, None, None, validated, None, is_train=False)
        assert validated["input_ids_list"][0].all(), "validation keeps its captions"
        batch = {"input_ids_list": [torch.ones(8, 1, 77)]}
        trainer.on_step_start(args, None, None, None, None, batch, None)
        found.append(batch["input_ids_list"][0][:, 0, 0])
    return found


def test_a_resumed_run_drops_what_it_would_have_dropped_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train_state.json").write_text('{"current_epoch": 1, "current_step": 3}')
    whole = torch.stack(_rows(8, {}, monkeypatch))
    assert 0 < whole.mean() < 1
    resumed = torch.stack(_rows(5, {"resume": str(tmp_path)}, monkeypatch))
    assert torch.equal(resumed, whole[3:])
    accumulated = torch.stack(_rows(2, {"resume": str(tmp_path), "gradient_accumulation_steps": 2}, monkeypatch))
    assert torch.equal(accumulated, whole[6:])


@pytest.mark.parametrize("batch", [{}, {"input_ids_list": [], "text_encoder_outputs_list": [torch.zeros(1)]}])
def test_a_batch_without_tokens_is_refused_and_not_trained_with_its_caption(batch: dict[str, object]) -> None:
    trainer = with_condition_drop(_Script, 0.5)()
    with pytest.raises(UserError, match="condition drop cannot reach it"):
        trainer.on_step_start(type("Args", (), {"seed": 5}), None, None, None, None, batch, None)
