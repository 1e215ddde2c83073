"""`redifine verify --all` of a large chain, beside hashing the same bytes and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import click
import numpy as np
from PIL import Image, PngImagePlugin

from pipeline.chain.paths import Layout, image_name
from pipeline.core.errors import UserError
from pipeline.core.files import free_bytes, sha256_bytes, write_bytes
from pipeline.core.json_files import read_jsonl, write_json, write_jsonl

SIZE, PICTURES, BLOCK = 512, 8, 2**20


@dataclass(frozen=True)
class Cost:
    """What one reading of the chain took."""

    seconds: float
    cpu_seconds: float


def noise(number: int) -> np.ndarray:
    """An image of 16 levels a channel, which PNG stores in half a byte each, [SIZE,SIZE,3] uint8."""
    return np.random.default_rng(number).integers(16, size=(SIZE, SIZE, 3), dtype=np.uint8) * 16


def pictures() -> Iterator[bytes]:
    """PNGs of some 400 kB without end, no two of the same bytes: few are compressed, each has a number of its own."""
    made = []
    for number in range(PICTURES):
        buffer = io.BytesIO()
        numbered = PngImagePlugin.PngInfo()
        numbered.add_text("number", "0" * 12)
        Image.fromarray(noise(number)).save(buffer, "PNG", compress_level=1, pnginfo=numbered)
        made.append(buffer.getvalue().partition(b"number\0" + b"0" * 12))
    for count, (before, _, after) in enumerate(cycle(made)):
        text = b"tEXtnumber\0" + f"{count:012}".encode()
        # A PNG chunk ends with the checksum of its type and content.
        yield before[:-4] + text + _crc(text) + after[4:]


def _crc(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")


def write_chain(root: Path, iterations: int, images: int) -> None:
    """P, D_0..D_K, T_1..T_K, and the dvc.lock and the lists of files that DVC would have written. 2.9 GB for 6 x 1000."""
    layout, draw = Layout(root), pictures()
    prompts = [f"creature {i}" for i in range(images)]
    write_jsonl(layout.prompts, ({"index": i, "name": str(i), "prompt": text} for i, text in enumerate(prompts)))
    stages = {"prepare": _stage([_file(root, layout.prompts)])}
    for k in range(iterations + 1):
        rows = []
        for i, text in enumerate(prompts):
            content = next(draw)
            write_bytes(layout.images(k) / image_name(i), content)
            rows.append({"file": image_name(i), "prompt_index": i, "image_index": 0, "prompt": text, "seed": None,
                         "sha256": sha256_bytes(content)})  # fmt: skip
        write_jsonl(layout.manifest(k), rows)
        stages[f"sample@{k}"] = _stage([_folder(root, layout.images(k))])
        if k:
            write_jsonl(layout.training_set(k), _examples(layout, k - 1))
            stages[f"curate@{k}"] = _stage([_file(root, layout.training_set(k))])
    write_json(root / "dvc.lock", {"schema": "2.0", "stages": stages})  # JSON is YAML


def _examples(layout: Layout, k: int) -> Iterator[dict]:
    """T_{k+1} of all of D_k."""
    for row in read_jsonl(layout.manifest(k)):
        yield {"path": f"data/D_{k}/{row['file']}", "caption": row["prompt"], "k": k,
               **{key: row[key] for key in ("prompt_index", "image_index", "sha256")}}  # fmt: skip


def _stage(outs: list[dict]) -> dict:
    return {"cmd": "nothing", "outs": outs}


def _file(root: Path, path: Path) -> dict:
    return {"path": path.relative_to(root).as_posix(), "hash": "md5", "md5": _md5(path.read_bytes())}


def _folder(root: Path, folder: Path) -> dict:
    """A folder as dvc.lock has it; the list of its files goes to DVC's cache."""
    entries = [{"md5": _md5(path.read_bytes()), "relpath": path.name} for path in sorted(folder.iterdir())]
    listing = json.dumps(entries, sort_keys=True).encode()
    md5 = _md5(listing)
    write_bytes(root / ".dvc/cache/files/md5" / md5[:2] / f"{md5[2:]}.dir", listing)
    return {"path": folder.relative_to(root).as_posix(), "hash": "md5", "md5": f"{md5}.dir"}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def chain_files(root: Path) -> list[Path]:
    return sorted(path for path in (root / "data").rglob("*") if path.is_file())


def forget(files: list[Path]) -> None:
    """Have the files read from the disk the next time, not from memory."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measured(work: Callable[[], object]) -> Cost:
    """Time and computing of `work`, its child processes included."""
    started, before = time.perf_counter(), _computing()
    work()
    return Cost(time.perf_counter() - started, _computing() - before)


def _computing() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def read_only(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(BLOCK):
            pass


def hash_only(path: Path) -> None:
    """md5 and sha256 of a file in one reading: what an audit cannot do without."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            md5.update(block)
            sha256.update(block)


def over_files(work: Callable[[Path], None], files: list[Path], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, files))


def verify(root: Path) -> None:
    """Raises UserError when the audit finds anything: the chain is as recorded."""
    command = [sys.executable, "-m", "pipeline", "verify", "--all"]
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    if subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": path}, check=False).returncode:
        raise UserError(f"the audit of {root} found what should not be; see above")


@click.command()
@click.option("--iterations", default=6, show_default=True, help="K: D_0 to D_K are audited.")
@click.option("--images", default=1000, show_default=True, help="Images of each D_k, 512x512, 0.4 MB each.")
@click.option("--repeats", default=2, show_default=True)
@click.option("--threads", default=4, show_default=True, help="Of the plain reading and hashing.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the chain is written, and removed again.")
def main(iterations: int, images: int, repeats: int, threads: int, folder: Path | None) -> None:
    """Write a chain's files, audit them, and read and hash them plainly, in turn; each time from the disk."""
    place = folder or Path(tempfile.gettempdir())
    needed = (iterations + 1) * images * 450_000
    if free_bytes(place) < 2 * needed:
        raise UserError(f"{place} has less than {2 * needed / 1e9:.0f} GB free; name another --folder, or fewer --images")
    with tempfile.TemporaryDirectory(prefix="verify-", dir=place) as temporary:
        root = Path(temporary)
        subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], cwd=root, check=True)
        write_chain(root, iterations, images)
        report(root, repeats, threads)


def report(root: Path, repeats: int, threads: int) -> None:
    files = chain_files(root)
    size = sum(path.stat().st_size for path in files)
    print(f"{len(files)} files, {size / 1e9:.2f} GB, {os.cpu_count()} cores")
    works: dict[str, Callable[[], None]] = {
        "read": lambda: over_files(read_only, files, threads),
        "md5 and sha256": lambda: over_files(hash_only, files, threads),
        "verify --all": lambda: verify(root),
    }
    for _ in range(repeats):
        for name, work in works.items():
            forget(files)
            cost = measured(work)
            rate = size / cost.seconds / 1e6
            print(f"{name:<16} {cost.seconds:6.1f} s  {rate:5.0f} MB/s  {cost.cpu_seconds:6.1f} s of computing", flush=True)


if __name__ == "__main__":
    main()
