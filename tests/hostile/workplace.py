"""A project in which work has been done, and a way to see that a refused command leaves it as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from PIL import Image

from inputs.base_models.repositories import stable_diffusion
from pipeline.chain.params import Params, check
from pipeline.cli.application import main
from pipeline.core.files import sha256_bytes, write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_json, write_jsonl

Make = Callable[[Path], object]
"""Puts something bad into a folder."""

DONE = ("data/D_0", "data/D_1", "data/T_1.jsonl", "data/prompts.jsonl", "models/M_0", "models/M_1", "metrics", "report")


@dataclass(frozen=True)
class Workplace:
    """A project's folder, which is also this process's working directory."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    def set(self, **changes: Any) -> None:
        """Write params.yaml with `changes` to a chain over raw."""
        write_text(self.root / "params.yaml", as_yaml(check(SETTINGS | changes).model_dump()))

    def done(self) -> dict[str, bytes]:
        """{path: content} of everything that the stages have left."""
        places = [self.root / name for name in DONE]
        files = [path for place in places for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}

    def refused(self, *arguments: str) -> str:
        """The one sentence that a command ends with, having exit code 2 and left the work as it was."""
        before = self.done()
        result = CliRunner().invoke(main, arguments)
        assert isinstance(result.exception, SystemExit), repr(result.exception)
        assert result.exit_code == 2, result.output
        after = self.done()
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        assert not changed
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1 and result.stderr.splitlines()[-1] == errors[0], result.stderr
        assert errors[0].isprintable()
        return errors[0].removeprefix("Error: ")

    def run(self, *arguments: str) -> None:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output


SETTINGS: dict[str, Any] = {
    "iterations": {"1": {"prev": 0}},
    "dataset": "folder",
    "folder": "raw",
    "prompts": None,
    "strict": True,
    "model": "models/base",
    "trainer": "builtin",
}


def as_yaml(values: dict[str, Any]) -> str:
    """YAML in JSON's notation, one key a line."""
    import json

    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items() if name in Params.model_fields)


def write_workplace(root: Path) -> Workplace:
    """Two captioned images, a stand-in of a base model, and what a chain of one iteration has left."""
    place = Workplace(root)
    place.set()
    place.raw.mkdir(parents=True)
    for name in ("a", "b"):
        picture(name).save(place.raw / f"{name}.png")
        write_text(place.raw / f"{name}.txt", f"creature {name}")
    for name, content in stable_diffusion().items():
        if "/" in name and not name.endswith(".bin"):
            write_bytes(root / "models/base" / name, content)
    write_done(root)
    return place


def picture(name: str = "", size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, {"a": "red", "b": "blue"}.get(name, "green"))


def write_done(root: Path) -> None:
    """D_0 and D_1, T_1, P, M_0's record, M_1, metrics and a report: enough to lose."""
    for k in (0, 1):
        write_set(root, k)
    rows = [{"path": f"data/D_0/{i:05d}.png", "prompt_index": i, "image_index": 0, "caption": f"creature {i}", "k": 0,
             "sha256": "0" * 64} for i in range(2)]  # fmt: skip
    write_jsonl(root / "data/T_1.jsonl", rows)
    write_jsonl(root / "data/prompts.jsonl", [{"index": i, "name": str(i), "prompt": f"creature {i}"} for i in range(2)])
    write_json(root / "models/M_0/base.json", {"model": "models/base", "vae": None, "sha256": "0" * 64, "files": {}})
    write_bytes(root / "models/M_1/lora.safetensors", b"days of work")
    write_text(root / "models/M_1/loss.csv", "step,loss\n1,0.5\n")
    write_json(root / "metrics/1.json", {"fid": 24.0})
    write_text(root / "report/index.html", "the report")


def write_set(root: Path, k: int, **changes: Any) -> None:
    """D_k of two images, whose first row has `changes`."""
    import numpy as np

    rows = []
    for i, name in enumerate("ab"):
        content = encode_png(np.asarray(picture(name)))
        write_bytes(root / f"data/D_{k}/{i:05d}.png", content)
        row: dict[str, Any] = {"file": f"{i:05d}.png", "prompt_index": i, "image_index": 0, "prompt": f"creature {i}",
                               "seed": None, "sha256": sha256_bytes(content)}  # fmt: skip
        rows.append(row | (changes if i == 0 else {}))
    write_jsonl(root / f"data/D_{k}/manifest.jsonl", rows)


def surrogate_name(folder: Path) -> None:
    """A file whose name is Latin-1."""
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(b"")
