"""Every layout reads its owner's tree, and lists what does not belong there."""

from __future__ import annotations

from pathlib import Path

import pytest
import raw_sets

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.catalogue import DATASETS, dataset
from pipeline.inputs.datasets.items import RawListing
from pipeline.inputs.datasets.layouts.butterfly import plain_description


def read(name: str, folder: Path) -> RawListing:
    return dataset(name).read(folder)


def reasons(found: RawListing) -> str:
    return "\n".join(str(problem) for problem in found.problems)


def test_pokemon_come_in_order_of_their_number_with_their_names(tmp_path: Path) -> None:
    found = read("pokemon", raw_sets.pokemon(tmp_path))
    assert [(item.name, item.title) for item in found.items] == [
        ("0001", "Bulbasaur"),
        ("0002", "Ivysaur"),
        ("0010", "Caterpie"),
    ]
    assert found.problems == []
    assert found.notices == ["1 image(s) of other forms left out: the set has one image for each number"]


def test_pokemon_dot_com_names_forms_with_an_f(tmp_path: Path) -> None:
    for name in ("001", "006", "006_f2", "006_f3"):
        raw_sets.image(tmp_path / f"{name}.png", len(name))
    found = read("pokemon", tmp_path)
    assert [item.path.name for item in found.items] == ["001.png", "006.png"]
    assert "2 image(s) of other forms" in found.notices[-1] and "captions lack the Pokemon's name" in found.notices[0]


def test_the_set_ends_with_the_papers_last_number(tmp_path: Path) -> None:
    for number in (1007, 1008, 1009, 1025):
        raw_sets.image(tmp_path / f"{number}.png", number)
    found = read("pokemon", tmp_path)
    assert [item.name for item in found.items] == ["1007", "1008"]
    assert "2 Pokemon after number 1008 left out" in found.notices[-1]


def test_a_name_behind_the_number_is_the_title(tmp_path: Path) -> None:
    raw_sets.image(tmp_path / "0122-mr-mime.png", 1)
    raw_sets.image(tmp_path / "0001-Bulbasaur.png", 2)
    assert [item.title for item in read("pokemon", tmp_path).items] == ["Bulbasaur", "Mr Mime"]


def test_of_pokeapis_names_in_many_languages_the_english_one_counts(tmp_path: Path) -> None:
    raw_sets.image(tmp_path / "1.png", 1)
    table = "pokemon_species_id,local_language_id,name,genus\n1,1,フシギダネ,x\n1,9,Bulbasaur,Seed\n"
    (tmp_path / "pokemon_species_names.csv").write_text(table, encoding="utf-8")
    assert read("pokemon", tmp_path).items[0].title == "Bulbasaur"


def test_a_broken_row_of_names_and_an_image_without_number_are_listed(tmp_path: Path) -> None:
    raw_sets.image(tmp_path / "1.png", 1)
    raw_sets.image(tmp_path / "banner.png", 2)
    (tmp_path / "names.csv").write_text("number,name\n1,Bulbasaur\ntwo,Ivysaur\n")
    found = read("pokemon", tmp_path)
    assert "banner.png has no Pokedex number" in reasons(found) and "names.csv, line 3 has no number and name" in reasons(found)
    assert [item.title for item in found.items] == ["Bulbasaur"]


@pytest.mark.parametrize("kaggle", [False, True], ids=["official", "kaggle"])
def test_celeba_has_its_attributes_from_either_table(tmp_path: Path, kaggle: bool) -> None:
    raw_sets.celeba(tmp_path, 2)
    if kaggle:
        (tmp_path / "list_attr_celeba.txt").unlink()
        (tmp_path / "img_align_celeba").rename(tmp_path / "inner")
        (tmp_path / "img_align_celeba").mkdir()
        (tmp_path / "inner").rename(tmp_path / "img_align_celeba/img_align_celeba")
        header = "image_id,Black_Hair,Smiling,Young\n"
        (tmp_path / "list_attr_celeba.csv").write_text(header + "000001.jpg,1,-1,1\n000002.jpg,1,-1,1\n")
    found = read("celeba", tmp_path)
    assert [item.attributes for item in found.items] == [("black hair", "young")] * 2 and found.problems == []


def test_what_celeba_does_not_have_is_listed(tmp_path: Path) -> None:
    raw_sets.celeba(tmp_path, 2)
    raw_sets.image(tmp_path / "img_align_celeba/000003.jpg", 3)
    raw_sets.image(tmp_path / "img_align_celeba/cat.jpg", 4)
    (tmp_path / "img_align_celeba/000004.psd").write_bytes(b"8BPS")
    found = read("celeba", tmp_path)
    assert [item.name for item in found.items] == ["000001", "000002", "000003"]
    for expected in ("000003.jpg has no row in", "cat.jpg is not named as CelebA", "000004.psd is no image"):
        assert expected in reasons(found)


@pytest.mark.parametrize("content", ["", "2\n", "1\nA B\n000001.jpg 1\n"], ids=["empty", "no names", "short row"])
def test_a_damaged_table_of_attributes_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    raw_sets.celeba(tmp_path, 1)
    (tmp_path / "list_attr_celeba.txt").write_text(content)
    with pytest.raises(UserError, match="list_attr_celeba.txt.*fetch"):
        read("celeba", tmp_path)


def test_kumapi_is_read_at_any_depth_with_2_before_10(tmp_path: Path) -> None:
    found = read("kumapi", raw_sets.kumapi(tmp_path))
    assert [item.name for item in found.items] == ["illustrations-1", "illustrations-2", "illustrations-10"]


def test_butterflies_have_their_species_and_its_description_as_in_table_2(tmp_path: Path) -> None:
    found = read("butterfly", raw_sets.butterfly(tmp_path))
    assert [item.name for item in found.items] == ["0030001", "0030002", "0040001"]
    assert {item.species for item in found.items} == {"Crimson-patched Longwing", "Common Buckeye"}
    assert found.items[0].description == (
        "wings long, narrow, and rounded. Black above, crossed on fore wing by broad crimson patch, "
        "and on hind wing by narrow yellow line"
    )
    assert found.problems == []


def test_a_species_without_description_is_listed_once_and_keeps_its_name(tmp_path: Path) -> None:
    raw_sets.butterfly(tmp_path)
    (tmp_path / "leedsbutterfly/descriptions/003.txt").unlink()
    (tmp_path / "leedsbutterfly/descriptions/004.txt").write_text("Junonia coenia\n")
    raw_sets.image(tmp_path / "leedsbutterfly/images/butterfly.png", 5)
    found = read("butterfly", tmp_path)
    assert [(item.species, item.description) for item in found.items] == [
        ("Crimson-patched Longwing", ""), ("Crimson-patched Longwing", ""), ("Common Buckeye", ""),
    ]  # fmt: skip
    assert len(found.problems) == 3
    for expected in ("003.txt is missing", "004.txt must hold the Latin name", "butterfly.png is not named as the Leeds set"):
        assert expected in reasons(found)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('3 1/2-4" (89-102 mm). FW long. Below, paler.', "fore wing long"),
        ('HWs tailed; 1 1/4" eyespot.', 'hind wing tailed; 1 1/4" eyespot'),
        ("Beneath, grey.", ""),
    ],
)
def test_a_field_guides_entry_loses_size_underside_and_abbreviations(entry: str, expected: str) -> None:
    assert plain_description(entry) == expected


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
def test_the_leeds_set_is_found_in_the_folder_of_any_version(tmp_path: Path, version: str) -> None:
    raw_sets.butterfly(tmp_path / f"raw/leedsbutterfly_dataset_v{version}")
    assert [item.name for item in read("butterfly", tmp_path / "raw").items] == ["0030001", "0030002", "0040001"]


def test_a_pokemon_that_the_table_of_names_lacks_is_listed(tmp_path: Path) -> None:
    raw_sets.pokemon(tmp_path)
    (tmp_path / "pokemon.csv").write_text("id,identifier,species_id\n1,bulbasaur,1\n10,caterpie,10\n")
    assert "2.png has no row in the table of names" in reasons(read("pokemon", tmp_path))


def test_a_folder_of_ones_own_is_read_at_any_depth_and_pairs_of_one_name_are_listed(tmp_path: Path) -> None:
    raw_sets.image(tmp_path / "a.png", 1)
    raw_sets.image(tmp_path / "a.jpg", 2)
    raw_sets.image(tmp_path / "b.webp", 3)
    raw_sets.image(tmp_path / "deeper/c.png", 4)
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    found = read("folder", tmp_path)
    assert [item.path.name for item in found.items] == ["b.webp", "c.png"]
    assert "a.jpg has the name of a.png" in reasons(found) and "lost.png" in reasons(found)


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_folder_that_is_missing_or_empty_is_named_with_where_to_read_on(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder"):
        read(name, tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no image.*docs/datasets.md"):
        read(name, tmp_path)


def test_an_unknown_data_set_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no data set 'birds'; the known ones are pokemon, celeba, kumapi, butterfly, folder"):
        dataset("birds")
