"""What the machine has: GPU, driver, torch's build, optional libraries, a compiler, free disk space."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.chain.params import Params
from pipeline.chain.paths import OUTPUT_FOLDERS
from pipeline.diffusion.devices import CPU_CHOICES
from pipeline.run.doctor import CheckResult, note, ok, problem
from pipeline.versioning.hashes import cache_folder

LITTLE_SPACE, NO_SPACE = 5 * 2**30, 2**28
"""Bytes: a chain of a real model takes a few GB, one of the miniature a few hundred MB."""


def gpu(params: Params | None) -> CheckResult:
    """Report the GPUs that torch can use; a problem when params.yaml asks for what only a GPU does."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return ok("GPU", ", ".join(f"{found.name}, {found.total_memory / 2**30:.0f} GiB" for found in names))
    found, remedy = "none that torch can use", "the miniature is made for that, a real model is not"
    if torch.version.cuda and (installed := driver()).level == "ok":
        found += f": it is built for CUDA {torch.version.cuda}, and the driver is {installed.found}"
        remedy = "install a newer driver, or a torch that is built for an older CUDA"
    for name, on_cpu in CPU_CHOICES:
        if params is not None and getattr(params, name) not in on_cpu:
            value = getattr(params, name)
            return problem("GPU", f"{found}, and {name} is {value}", f"set {name}: {on_cpu[0]} in params.yaml")
    return note("GPU", f"{found}; the chain runs on the CPU", remedy)


def driver() -> CheckResult:
    """Report NVIDIA's driver, whether torch can use it or not."""
    found = output_of(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    if found is None:
        return note("driver", "no NVIDIA driver (nvidia-smi does not answer)")
    return ok("driver", f"NVIDIA {found.splitlines()[0]}")


def torch_build() -> CheckResult:
    """Report what torch was built for; beside a driver a CPU build is a waste."""
    import torch

    version = str(torch.__version__)
    if torch.version.cuda or torch.version.hip:
        kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
        return ok("torch", f"{version}, built for {kind}")
    if driver().level == "ok":
        return note("torch", f"{version}, built for CPUs, though there is an NVIDIA driver", "run 'make env-cuda'")
    return ok("torch", f"{version}, built for CPUs, with {torch.get_num_threads()} threads")


def xformers(params: Params | None) -> CheckResult:
    return _optional("xformers", params is not None and params.attention == "xformers", "set attention: sdpa in params.yaml")


def bitsandbytes(params: Params | None) -> CheckResult:
    return _optional(
        "bitsandbytes", params is not None and params.optimizer == "AdamW8bit", "set optimizer: AdamW in params.yaml"
    )


def _optional(package: str, needed: bool, instead: str) -> CheckResult:
    if importlib.util.find_spec(package) is not None:
        return ok(package, importlib.metadata.version(package))
    if needed:
        return problem(package, "not installed, and params.yaml asks for it", f"run 'make env-cuda', or {instead}")
    return ok(package, "not installed, and not asked for")


def compiler() -> CheckResult:
    """Look for a C++ compiler, which torch.compile needs and nothing else does."""
    found = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    if found is None:
        return note("compiler", "no C++ compiler", "install g++ to let torch compile for this CPU; all runs without it")
    version = output_of([found, "--version"]) or found
    return ok("compiler", version.splitlines()[0])


def disk(root: Path) -> CheckResult:
    free = shutil.disk_usage(root).free
    found = f"{free / 2**30:.1f} GiB free"
    if free < NO_SPACE:
        return problem("disk", found, "free some space, or move the cache with 'dvc cache dir PATH'")
    if free < LITTLE_SPACE:
        return note(
            "disk", found, "enough for the miniature; a real model's chain wants more: 'dvc cache dir PATH' moves the cache"
        )
    return ok("disk", found)


def writing(root: Path) -> CheckResult:
    """Try to write where a run does: the project's folders, DVC's own and its cache."""
    refused = [f"{folder} ({reason})" for folder in _written(root) if (reason := _refusal(folder)) is not None]
    if refused:
        return problem(
            "writing", f"cannot write to {', '.join(refused)}", "mend its permissions, mount it for writing, or free space"
        )
    return ok("writing", "the project's folders and DVC's cache can be written to")


def _written(root: Path) -> list[Path]:
    """Return the folders that are there of those that a run writes to."""
    folders = [root, *(root / name for name in (".dvc", ".dvc/tmp", *OUTPUT_FOLDERS))]
    cache = cache_folder(root)
    return [folder for folder in (*folders, *filter(None, [cache])) if folder.is_dir()]


def _refusal(folder: Path) -> str | None:
    """Return why a small file cannot be written to a folder; None where it can."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".redifine-", suffix=".tmp") as file:
            file.write(bytes(2**12))
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def output_of(command: Sequence[str]) -> str | None:
    """Return what a command prints; None when it is not there, fails, or does not end within ten seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
