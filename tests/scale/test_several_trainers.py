"""Training by several processes: the batch, the number of updates and the result are those of one."""

from __future__ import annotations

from pathlib import Path

import pytest
import toml
import torch

from pipeline.chain import paths
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.json_files import read_json
from pipeline.core.randomness import generator
from pipeline.diffusion import lora
from pipeline.diffusion.lora_targets import target_modules
from pipeline.diffusion.models import load_base
from pipeline.train import builtin, config, stage
from pipeline.train.distributed import ProcessGroup
from pipeline.train.kohya import launch
from pipeline.train.kohya.hooks import Rank
from pipeline.train.settings import read_settings
from pipeline.train.step_noise import SeededNoise
from pipeline.train.trainable_lora import attached, initial
from pipeline.train.training_inputs import read_inputs
from project import ROOT
from train.train_project import needs_sd_scripts, view, write_project


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Layout:
    return write_project(tmp_path / "project", tiny_model)


def write_inputs(project: Layout, params: object) -> Path:
    job = read_inputs(params, 1, project)
    for name, text in config.texts(params, job, project.model(1), project.root).items():
        write_text(project.model(1) / name, text)
    return project.model(1) / "train.toml"


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_shares_of_a_batch_are_all_of_it_and_no_row_twice(size: int) -> None:
    for rows in range(1, 10):
        shares = [ProcessGroup(rank, size).share(rows) for rank in range(size)]
        assert [row for share in shares for row in range(rows)[share]] == list(range(rows))
        assert max(s.stop - s.start for s in shares) - min(s.stop - s.start for s in shares) <= 1


@pytest.mark.parametrize("size", [2, 4])
def test_the_parts_of_loss_and_gradient_add_up_to_those_of_the_whole_batch(project: Layout, size: int) -> None:
    settings = read_settings(write_inputs(project, view(batch_size=3, condition_drop=0.5, unet_lr=1e-3)), project.root)
    model = load_base(settings.model)
    data = builtin.load_data(settings, model, project.root)
    modules = target_modules(model)
    start = initial(modules, 4, 2.0, generator(1))
    for layer in start.values():
        layer.up.normal_(generator=generator(2))
    draw = SeededNoise(3, 6, 3, (4, 8, 8), flip=True, caption_dropout=0.5, noise_offset=0.1, train_steps=1000)(5)

    def parts(count: int) -> tuple[float, list[torch.Tensor]]:
        with attached(modules, start) as network:
            network.merge()
            total = 0.0
            for rank in range(count):
                loss = builtin._loss(settings, model, data, draw, 5, 0.5, ProcessGroup(rank, count))
                loss.backward(retain_graph=True)
                total += loss.item()
            return total, [half.grad for half in network.parameters() if half.grad is not None]

    (whole, whole_gradients), (sum_, sum_gradients) = parts(1), parts(size)
    assert sum_ == pytest.approx(whole, rel=1e-5)
    for one, other in zip(whole_gradients, sum_gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-6 + 1e-4 * float(one.abs().max()))


def test_sd_scripts_is_told_each_processs_share_of_a_batch_and_nothing_else(project: Layout, tmp_path: Path) -> None:
    written = write_inputs(project, view(batch_size=6))
    assert launch.shared_dataset(written, project.root, 1, tmp_path) == []
    flag, file = launch.shared_dataset(written, project.root, 3, tmp_path)
    before, after = toml.loads((project.model(1) / "dataset.toml").read_text()), toml.loads(Path(file).read_text())
    assert flag == "--dataset_config" and after["datasets"][0]["batch_size"] == 2
    after["datasets"][0]["batch_size"] = 6
    assert after == before


def test_a_batch_that_cannot_be_divided_is_refused(project: Layout, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch_size 2 cannot be shared evenly by 3 processes; set --processes to a divisor"):
        launch.shared_dataset(write_inputs(project, view()), project.root, 3, tmp_path)


def test_every_process_of_sd_scripts_draws_its_own_noise() -> None:
    drawn = []
    for rank in range(3):
        torch.manual_seed(5)
        Rank({"RANK": str(rank), "WORLD_SIZE": "3"}).seed_rank(5)
        drawn.append(torch.randn(4))
    torch.manual_seed(5)
    assert torch.equal(drawn[0], torch.randn(4)), "one process alone, and the first of several, are left as they are"
    assert not torch.equal(drawn[1], drawn[0]) and not torch.equal(drawn[2], drawn[1])


def test_the_words_of_a_process_are_found_below_those_of_its_launcher() -> None:
    log = "\n".join(
        [
            "[rank1]: Traceback (most recent call last):",
            "[rank1]: pipeline.core.errors.UserError: the loss is nan at step 3; lower unet_lr",
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
            "============",
            "  exitcode  : 1 (pid: 11251)",
        ]
    )
    assert launch.last_words(log) == "the loss is nan at step 3; lower unet_lr"


@pytest.mark.slow
def test_two_builtin_processes_train_what_one_trains(project: Layout, tiny_model: Path, tmp_path: Path) -> None:
    params = view(batch_size=4, epochs=3, unet_lr=1e-3, text_encoder_lr=1e-3, condition_drop=0.3)
    other = write_project(tmp_path / "other", tiny_model)
    stage.run(params, 1, project, "cpu")
    stage.run(params, 1, other, "cpu", 2)
    losses = [launch.read_losses(layout.losses(1)) for layout in (project, other)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    one, two = (lora.load(layout.lora(1)) for layout in (project, other))
    for name in one:
        torch.testing.assert_close(two[name].up, one[name].up, atol=2e-4, rtol=0.05)
    assert read_json(other.model(1) / "lineage.json")["processes"] == 2


@pytest.mark.slow
@needs_sd_scripts
def test_two_processes_of_sd_scripts_do_the_updates_that_were_asked_for(project: Layout) -> None:
    (project.root / "vendor").mkdir()
    (project.root / "vendor/sd-scripts").symlink_to(paths.sd_scripts(ROOT))
    stage.run(view(trainer="kohya", epochs=2, condition_drop=0.5), 1, project, "cpu", 2)
    assert len(launch.read_losses(project.losses(1))) == 6
    assert any(layer.up.abs().max() > 0 for layer in lora.load(project.lora(1)).values())
