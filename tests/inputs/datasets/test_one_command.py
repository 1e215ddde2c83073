"""`redifine dataset prepare`: from the raw layout of each data set to captions, D_0 and P, whatever is broken in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import raw_sets
from click.testing import CliRunner, Result
from hostile.workplace import write_workplace
from PIL import Image

from pipeline.chain import params, presets
from pipeline.cli.application import main
from pipeline.core.json_files import read_jsonl
from pipeline.inputs.captions.rules import LONG

Place = Callable[[Path], Path]


def own_folder(folder: Path) -> Path:
    for number in (1, 2, 3):
        raw_sets.image(folder / f"{number}.png", number)
    return folder


SETS: dict[str, tuple[Place, str, list[str]]] = {
    "pokemon": (raw_sets.pokemon, "sprites/pokemon/other/official-artwork", ["0001", "0002", "0010"]),
    "celeba": (raw_sets.celeba, "img_align_celeba", [f"{number:06d}" for number in range(1, 7)]),
    "kumapi": (raw_sets.kumapi, "illustrations", ["illustrations-1", "illustrations-2", "illustrations-10"]),
    "butterfly": (raw_sets.butterfly, "leedsbutterfly/images", ["0030001", "0030002", "0040001"]),
    "folder": (own_folder, "", ["1", "2", "3"]),
}
"""Each data set's layout in small, where its images are, and the names that they get."""

NEXT = {"pokemon": "{:04d}.png", "celeba": "{:06d}.jpg", "kumapi": "{}.png", "butterfly": "004{:04d}.png", "folder": "{}.png"}
"""Names of further images, as the set's owner would give them."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small BLIP and a small tagger, as the command's options."""
    pytest.importorskip("onnxruntime")
    from small_captioners import write_blip, write_network

    folder = tmp_path_factory.mktemp("models")
    return ["--blip", str(write_blip(folder / "blip")), "--tagger", str(write_network(folder / "wd")), "--device", "cpu"]


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose params.yaml asks for drawn creatures."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    write_workplace(root).set(dataset="creatures", folder=None, prompts=100, model=str(tiny_model))
    return root


def run(name: str, raw: Path, *options: str) -> Result:
    short = ("--window", "5-7") if name in ("celeba", "folder") else ()
    result = CliRunner().invoke(
        main, ["dataset", "prepare", name, str(raw), "--size", "64", *short, "--threshold", "0.1", *options]
    )
    return result


def prompts(place: Path) -> dict[str, str]:
    return {row["name"]: row["prompt"] for row in read_jsonl(place / "data/prompts.jsonl")}


@pytest.mark.parametrize("name", SETS)
def test_one_command_goes_from_each_raw_layout_to_captions_and_d_0(
    place: Path, tmp_path: Path, models: list[str], name: str
) -> None:
    make, _, names = SETS[name]
    raw = make(tmp_path / "raw")
    size = ["--size", "0"] if name == "folder" else []
    if name == "folder":
        for path in raw.glob("*.png"):
            Image.open(path).resize((64, 70)).save(path)
    done = run(name, raw, *models, *size)
    assert done.exit_code == 0, done.output
    folder = raw if name == "folder" else place / "raw" / name
    assert sorted(prompts(place)) == sorted(names)
    assert prompts(place) == {path.stem: path.read_text().strip() for path in folder.glob("*.txt")}
    rows = read_jsonl(place / "data/D_0/manifest.jsonl")
    assert [row["prompt"] for row in rows] == list(prompts(place).values())
    assert all(Image.open(place / "data/D_0" / row["file"]).size == (64, 64) for row in rows)
    found = params.load(place / "params.yaml")
    assert (found.dataset, found.prompts, found.prompt_form) == ("folder", None, "full")
    assert Path(found.folder or "").resolve() == folder.resolve()
    assert "dataset: creatures -> folder" in done.output and f"{len(names)} images in data/D_0" in done.output


def test_a_base_model_that_is_missing_is_told_before_the_captions_are_made(
    place: Path, tmp_path: Path, models: list[str]
) -> None:
    presets.assign({"model": "models/base/sd15"}, place / "params.yaml")
    done = run("butterfly", raw_sets.butterfly(tmp_path / "raw"), *models)
    assert done.exit_code == 2 and "bring the model here with 'redifine base fetch sd15'" in done.output
    assert not (place / "raw/butterfly").exists() and params.load(place / "params.yaml").dataset == "creatures"


def test_a_base_model_that_no_chain_can_use_is_told_before_the_captions_are_made(place: Path, tmp_path: Path) -> None:
    presets.assign({"model": "models/base"}, place / "params.yaml")
    (place / "models/base/unet/config.json").unlink()
    done = run("kumapi", raw_sets.kumapi(tmp_path / "raw"), "--parts", "style")
    assert done.exit_code == 2 and "models/base cannot be used" in done.output
    assert not (place / "raw/kumapi").exists()


def spoil(folder: Path, pattern: str) -> dict[str, str]:
    """Broken files of each kind under names that belong to the set -> {name: reason}."""
    whole = next(path for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg"))
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    contents = {
        pattern.format(901): whole.read_bytes()[:60], pattern.format(902): b"", pattern.format(903): b"<html>not found</html>",
        pattern.format(904): whole.read_bytes(),
    }  # fmt: skip
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    moving = pattern.format(905)
    frames[0].save(folder / moving, "PNG", save_all=True, append_images=frames[1:])
    (folder / "art.psd").write_bytes(b"8BPS")
    (folder / f"lost{whole.suffix}").symlink_to("nowhere.png")
    reasons = ["cannot be read as an image", "is empty (0 bytes)", "cannot be read as an image", f"is a copy of {whole.name}"]
    return dict(zip(contents, reasons, strict=True)) | {
        moving: "is an animation of 2 frames", "art.psd": "is ",
        f"lost{whole.suffix}": "is a link that leads nowhere",
    }  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_each_kind_of_broken_file_is_listed_with_its_reason_and_none_stops_the_rest_but_with_strict(
    place: Path, tmp_path: Path, name: str
) -> None:
    make, below, names = SETS[name]
    raw = make(tmp_path / "raw")
    expected = spoil(raw / below, NEXT[name])
    (tmp_path / "captions.csv").write_text("name,caption\n" + "".join(f"{n},caption of {n}\n" for n in names))
    by_hand = ["--overrides", str(tmp_path / "captions.csv")]
    if name == "folder":
        by_hand += ["--size", "0"]
        for path in (path for path in raw.glob("*.png") if path.stem in names):
            Image.open(path).resize((64, 70)).save(path)
        (raw / "904.png").write_bytes((raw / "1.png").read_bytes())
    refused = run(name, raw, *by_hand, "--strict")
    assert refused.exit_code == 2 and "problem(s), fix them or leave out --strict" in refused.output
    assert params.load(place / "params.yaml").dataset == "creatures"
    # A folder of one's own keeps its broken files, and the chain is strict.
    done = run(name, raw, *by_hand, *(["--no-strict"] if name == "folder" else []))
    assert done.exit_code == 0, done.output
    assert params.load(place / "params.yaml").strict == (name != "folder")
    assert prompts(place) == {n: f"caption of {n}" for n in names}
    assert all(f"{file} {reason}" in (place / "logs/caption_0.log").read_text() for file, reason in expected.items())
    listed = [line for line in done.output.splitlines() if line.split(" ")[0] in expected]
    assert len(listed) >= len(expected)
    for file, reason in expected.items():
        assert any(line.startswith(f"{file} {reason}") for line in listed), (file, reason, listed)
        assert file.split(".")[0] in refused.output


@pytest.mark.parametrize(("option", "expected"), [([], "as it was"), (["--strict"], True), (["--no-strict"], False)])
@pytest.mark.parametrize("before", [True, False])
def test_the_chains_strict_stays_but_for_the_option(
    place: Path, tmp_path: Path, option: list[str], expected: bool | str, before: bool
) -> None:
    presets.assign({"strict": before}, place / "params.yaml")
    raw = raw_sets.kumapi(tmp_path / "raw")
    (tmp_path / "fix.csv").write_text("name,tags\n" + "".join(f"illustrations-{n},hands\n" for n in (1, 2, 10)))
    done = run("kumapi", raw, "--overrides", str(tmp_path / "fix.csv"), *option)
    assert done.exit_code == 0, done.output
    assert params.load(place / "params.yaml").strict == (before if expected == "as it was" else expected)


def test_of_an_earlier_prompt_set_nothing_gets_into_p_and_the_page_shows_what_d_0_has(place: Path, tmp_path: Path) -> None:
    raw, (first, second, third) = raw_sets.kumapi(tmp_path / "raw"), SETS["kumapi"][2]
    (tmp_path / "short.csv").write_text("name,blip\n" + "".join(f"{n},an image called {n}\n" for n in (first, second, third)))
    assert run("kumapi", raw, "--form", "short", "--overrides", str(tmp_path / "short.csv")).exit_code == 0
    assert prompts(place).keys() == {first, second, third}
    (tmp_path / "tags.csv").write_text(f'name,tags\n{first},"one, two"\n{second},three\n{third},","\n')
    done = run("kumapi", raw, "--form", "tags", "--overrides", str(tmp_path / "tags.csv"))
    assert done.exit_code == 0, done.output
    assert prompts(place) == {first: "one, two", second: "three"} and "2 images in data/D_0" in done.output
    assert f"{third}.txt is empty: no part of its rule says anything; the image is left out" in done.output
    page = (place / "captions/index.html").read_text()
    assert page.count("data:image/jpeg") == 2 and "an image called" not in page
    again = run("kumapi", raw, "--form", "short", "--overrides", str(tmp_path / "short.csv"))
    assert again.exit_code == 0 and prompts(place)[third] == f"an image called {third}" and len(prompts(place)) == 3


def test_forms_that_were_asked_for_once_need_no_captioning_in_the_chain(place: Path, tmp_path: Path, models: list[str]) -> None:
    done = run("pokemon", raw_sets.pokemon(tmp_path / "raw"), *models, "--all-forms")
    assert done.exit_code == 0, done.output
    full = prompts(place)
    for form in ("short", "long", "tags"):
        assert CliRunner().invoke(main, ["set", f"prompt_form={form}"]).exit_code == 0
        assert CliRunner().invoke(main, ["prepare"]).exit_code == 0
        found = prompts(place)
        assert found.keys() == full.keys() and all(found[name] in full[name] for name in full) == (form != "short")
        assert all((len(text.split()) < LONG.least) == (form != "long") for text in found.values())


def test_a_set_of_the_hub_is_fetched_and_then_goes_to_d_0_with_its_own_captions_and_no_model(
    place: Path, tmp_path: Path
) -> None:
    images = [raw_sets.image(tmp_path / f"made/{i}.jpg", i, (64, 64)).read_bytes() for i in range(3)]
    table = pyarrow.table({"image": [{"bytes": image, "path": None} for image in images], "text": ["one", "two", "three"]})
    (tmp_path / "hub/data").mkdir(parents=True)
    pyarrow.parquet.write_table(table, tmp_path / "hub/data/train-00000-of-00001.parquet")
    for command in (
        ["dataset", "fetch", str(tmp_path / "hub"), "--out", "raw/hub"],
        ["dataset", "prepare", "folder", "raw/hub"],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    assert prompts(place) == {"00000": "one", "00001": "two", "00002": "three"}
    assert "problem" not in done.output.replace("0 problem(s)", "")
