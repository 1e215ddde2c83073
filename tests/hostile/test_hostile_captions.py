"""Captions that attack whatever reads them next are kept to the letter; those that are refused are in the corpus."""

from __future__ import annotations

from hostile.workplace import Workplace

from pipeline.core.json_files import read_jsonl

KEPT = [
    "a 🐉 creature 👩‍👩‍👧 with é̂ accents",
    'quotes " and \' and """ and \'\'\' and \\" and \\x41 \\u0041',
    'x" ]\n[[datasets]]\nbatch_size = 1 # comment',
    "</script><img src=x onerror=alert(1)> {{ 7 * 7 }} {% raw %}",
    "$(touch owned) `touch owned` ; touch owned | & > owned",
    "--output_dir=/tmp/owned -x",
    "(weighted:1.5) [brackets] <lora:evil:1>",
    "مرحبا abc 图像",
    "%s %d {0} {name} ${model}",
]


def test_captions_are_kept_to_the_letter_but_for_spaces(place: Workplace) -> None:
    for i, caption in enumerate(KEPT):
        (place.raw / f"a{i}.txt").write_text(caption, encoding="utf-8")
        (place.raw / f"a{i}.png").write_bytes((place.raw / "a.png").read_bytes())
    place.run("prepare")
    found = [row["prompt"] for row in read_jsonl(place.root / "data/prompts.jsonl")]
    assert found == ["creature a", *(" ".join(caption.split()) for caption in KEPT), "creature b"]
    assert found == [row["prompt"] for row in read_jsonl(place.root / "data/D_0/manifest.jsonl")]
    assert not list(place.root.rglob("*owned*"))
