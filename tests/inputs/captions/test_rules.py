"""Captions are put together as in the paper's Table 2; corrections and prompt sets change only what they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.inputs.captions import overrides, parts
from pipeline.inputs.captions.compose import compose, kept_tags, prompt_set_captions, with_species
from pipeline.inputs.captions.compose import corrected as with_corrections
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.captions.rules import (
    LONG,
    MIDDLE,
    RULES,
    SHORT,
    Rule,
    Thresholds,
    Window,
    parse_parts,
    parse_window,
    prompt_set,
)

BULBASAUR = (
    "a green pokemon with red eyes and a leaf on the back of its head and tail, an image of the pokemon character with a red "
    "eye and big green tail, all set up to look like it is holding a leaf"
)
TAGS = (
    "solo, smile, open mouth, simple background, red eyes, white background, standing, full body, pokemon (creature), no humans"
)
STYLE = "ultra-detailed, high-definition, high quality, masterpiece, sugimori ken (style)"


def row(**changes: object) -> Parts:
    tags = tuple((name, 0.9, "general") for name in TAGS.split(", "))
    values = {"name": "0001", "file": "0001.png", "sha256": "x", "title": "Bulbasaur", "tags": tags,
              "blip": {LONG.label: BULBASAUR, MIDDLE.label: "a woman smiling", SHORT.label: "a leaf"}}  # fmt: skip
    return Parts(**values | changes)  # type: ignore[arg-type]


def caption(name: str, form: str = "full", **changes: object) -> str:
    return compose(row(**changes), prompt_set(RULES[name], form), Thresholds())


def test_pokemon_is_text_style_tags_name() -> None:
    assert caption("pokemon") == f"{BULBASAUR}, {STYLE}, {TAGS}, Bulbasaur"


def test_celeba_is_the_text_alone_and_kumapi_the_tags_with_the_style_last() -> None:
    assert caption("celeba") == "a woman smiling"
    assert caption("kumapi") == f"{TAGS}, Kumapi style"


def test_butterfly_has_the_species_in_the_text_and_its_description_behind() -> None:
    text = caption(
        "butterfly", species="crimson patched longwing", description="wings are long",
        blip={LONG.label: "a butterfly with a red and black stripe on its wings"},
    )  # fmt: skip
    assert text == "a crimson patched longwing butterfly with a red and black stripe on its wings, wings are long"


@pytest.mark.parametrize(
    ("form", "expected"), [("tags", TAGS), ("short", "a leaf"), ("long", BULBASAUR)], ids=["tags", "short", "long"]
)
def test_the_other_prompt_sets_are_one_part_alone(form: str, expected: str) -> None:
    assert caption("pokemon", form) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two butterflies on a moth", "two Monarch butterflies on a moth"),
        ("a monarch butterfly", "a monarch butterfly"),
        ("a flower", "a Monarch butterfly, a flower"),
        ("", ""),
    ],
)
def test_a_species_stands_once_before_the_first_butterfly(text: str, expected: str) -> None:
    assert with_species(text, "Monarch") == expected


def test_tags_count_from_their_threshold_and_keep_the_taggers_order() -> None:
    tags = (("solo", 0.35, "general"), ("smile", 0.34, "general"), ("ash", 0.84, "character"), ("misty", 0.85, "character"))
    assert kept_tags(row(tags=tags), Rule(("tags",)), Thresholds()) == ["solo", "misty"]
    assert kept_tags(row(tags=tags), Rule(("tags",)), Thresholds(0.1, 0.1)) == ["solo", "smile", "ash", "misty"]


def test_a_tag_that_style_or_name_says_is_not_said_twice() -> None:
    tags = (("sugimori ken (style)", 0.9, "general"), ("bulbasaur", 0.9, "character"), ("solo", 0.9, "general"))
    assert caption("pokemon", tags=tags).endswith("sugimori ken (style), solo, Bulbasaur")
    assert caption("pokemon", "tags", tags=tags) == "sugimori ken (style), bulbasaur, solo"


def test_what_an_image_lacks_leaves_no_trace_and_line_breaks_become_blanks() -> None:
    assert caption("pokemon", title="", tags=None, blip={LONG.label: "a\nleaf ,"}) == f"a leaf, {STYLE}"


def table(folder: Path, text: str) -> Path:
    path = folder / "corrections.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_corrections_by_hand_change_the_parts_that_they_name(tmp_path: Path) -> None:
    path = table(tmp_path, 'name,tags,add_tags,remove_tags,title\n0001,,"cute yellow figure, tiny hands","Smile, solo",\n')
    cells = overrides.of_images(overrides.read(path), path.name, ["0001"])[0]["0001"]
    corrected = with_corrections(row(), cells, LONG)
    kept = kept_tags(corrected, RULES["kumapi"], Thresholds())
    assert kept[:2] == ["open mouth", "simple background"] and kept[-2:] == ["cute yellow figure", "tiny hands"]
    assert corrected.title == "Bulbasaur"


def test_rows_of_corrections_for_no_image_or_twice_are_listed(tmp_path: Path) -> None:
    path = table(tmp_path, "name,title\n0001,A\n0009,B\n0001,C\n")
    found, problems = overrides.of_images(overrides.read(path), path.name, ["0001"])
    assert found == {"0001": {"title": "A"}}
    assert [str(problem) for problem in problems] == [
        "corrections.csv, line 3 names '0009', which is no image of the set",
        "corrections.csv, line 4 corrects 0001 a second time",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,colour\n1,red\n", "got colour"),
        ("title\nA\n", "column name and any of"),
        ("", "got none"),
        ("name,tags,tags\n1,a,b\n", "each once"),
        ("name,tags,\n1,a,b\n", "got one without a name"),
    ],
    ids=["unknown", "no name", "empty", "twice", "without a name"],
)
def test_a_table_of_corrections_with_other_columns_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        overrides.read(table(tmp_path, text))


def test_a_comma_or_quote_that_would_lose_text_is_refused_with_its_line(tmp_path: Path) -> None:
    comma = 'name,caption\n0001,"one, two"\n0002,one,two, three\n0003,four\n'
    with pytest.raises(
        UserError, match=r"more cells than its 2 columns in line 3; put \"quotes\" around text that holds a comma"
    ):
        overrides.read(table(tmp_path, comma))
    with pytest.raises(UserError, match="cannot be read as CSV: unexpected end of data; check its quotes"):
        overrides.read(table(tmp_path, 'name,caption\n0001,"one\n0002,two\n'))


def test_cells_that_hold_nothing_lose_nothing(tmp_path: Path) -> None:
    path = table(tmp_path, "name,caption,\n0001,one,,\n0002\n")
    assert overrides.of_images(overrides.read(path), path.name, ["0001", "0002"]) == (
        {"0001": {"caption": "one"}, "0002": {}}, [],
    )  # fmt: skip


def test_a_table_without_rows_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, "name,caption\n")
    assert [str(problem) for problem in overrides.of_images(overrides.read(path), path.name, [])[1]] == [
        "corrections.csv has no rows, so it corrects nothing"
    ]


def test_windows_parts_and_forms_that_are_none_are_refused_by_name() -> None:
    assert parse_window("25-50", "tokens") == Window(25, 50, "tokens") and parse_parts("tags, style") == ("tags", "style")
    for wrong in (
        lambda: parse_window("50-25", "words"),
        lambda: parse_parts("tags,colour"),
        lambda: prompt_set(Rule(()), "all"),
    ):
        with pytest.raises(UserError, match="--"):
            wrong()


def test_parts_come_back_as_they_were_written(tmp_path: Path) -> None:
    further = {"made_by": {"blip": "abc"}, "thresholds": (0.3, 0.9), "corrections": {"title": "A"}}
    rows = [row(), row(name="0002", file="0002.png", tags=None, attributes=("young",), **further)]
    parts.save(tmp_path, rows)
    assert list(parts.load(tmp_path).values()) == rows


@pytest.mark.parametrize(
    "damage",
    ['"tags": [["solo"]]', '"blip": {"x": 1}', '"attributes": "young"', '"file": "../0001.png"', '"title": 3',
     '"thresholds": [1]', '"corrections": {"tags": 1}'],
)  # fmt: skip
def test_a_damaged_row_of_parts_is_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / parts.NAME).write_text('{"name": "0001", "file": "0001.png", "sha256": "x", ' + damage + "}\n")
    with pytest.raises(UserError, match="damaged row for '0001'|line 1 must have name, file"):
        parts.load(tmp_path)


def test_lines_of_parts_that_cannot_be_read_are_named_with_what_makes_them_again(tmp_path: Path) -> None:
    (tmp_path / parts.NAME).write_text('{"name": "0001"\n')
    with pytest.raises(
        UserError, match="parts.jsonl, line 1 is not valid JSON .*; delete the line.*'redifine caption' makes"
    ) as found:
        parts.load(tmp_path)
    assert "dvc checkout" not in str(found.value)


def test_prompt_sets_come_from_parts_without_a_model_or_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs .*parts.jsonl"):
        prompt_set_captions(tmp_path, "short")
    parts.save(tmp_path, [row(), row(name="0002", blip={LONG.label: "long text"})])
    assert prompt_set_captions(tmp_path, "long") == {"0001": BULBASAUR, "0002": "long text"}
    assert prompt_set_captions(tmp_path, "short") == {"0001": "a leaf"}
    parts.save(tmp_path, [row(blip={}), row(name="0002", blip={})])
    with pytest.raises(UserError, match="no image of .* has such a part.*--all-forms"):
        prompt_set_captions(tmp_path, "short")


def test_prompt_sets_have_the_corrections_the_thresholds_and_the_windows_of_the_last_run(tmp_path: Path) -> None:
    tags = (("solo", 0.5, "general"), ("smile", 0.4, "general"))
    fixed = row(tags=tags, thresholds=(0.45, 0.85), corrections={"add_tags": "tiny hands"})
    in_tokens = row(name="0002", tags=tags, blip={Window(50, 75, "tokens").label: "a butterfly"}, species="Monarch")
    parts.save(tmp_path, [fixed, in_tokens])
    assert prompt_set_captions(tmp_path, "tags") == {"0001": "solo, tiny hands", "0002": "solo, smile"}
    assert prompt_set_captions(tmp_path, "long")["0002"] == "a Monarch butterfly"
