"""What we use of Python and libraries that they promise to nobody: each such name is listed here, and does what we use it for.

What else the model reaches into is in tests/diffusion/test_private_interfaces.py, and of DVC in
tests/versioning/test_dvc_internals.py.
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import ast
import subprocess
import sys
from collections.abc import Iterator

from project import ROOT

PRIVATE = {
    "_do_lock": "DVC: one attempt to take a lock, which ours repeats (pipeline/versioning/dvc_waiting.py)",
    "_lockfile": "DVC: the path of a lock, which names its holder (same)",
    "_stash_exp": "DVC: how an experiment is put into the queue (pipeline/versioning/queue_entry.py)",
    "_save_config": "DVC: how its configuration is written, which ours does whole (pipeline/versioning/dvc_patches.py)",
    "_pack_named": "DVC: sections as its configuration files name them (same)",
    "_actions": "Python: the types of a parser's options (pipeline/train/kohya/finetune_checks.py)",
    "_run_exitfuncs": "Python: a fork runs its exit functions before os._exit (pipeline/cli/fork_server.py)",
    "_compiled_call_impl": "torch: undoes Module.compile (pipeline/diffusion/compiled.py)",
    "_dynamo": "torch: gives up what was compiled (pipeline/diffusion/compiled.py, benchmarks)",
    "_guidance_scale": "diffusers: the scale of the next step, for a callback (pipeline/methods/diffusers_arguments.py)",
    "_python_dispatch": "torch: counts operations (benchmarks/paper_scale/counting.py)",
    "_pytree": "torch: tensors among an operation's arguments (benchmarks/paper_scale/counting.py)",
    "_scaled_dot_product_flash_attention_for_cpu": "torch: an attention whose operations are counted (same)",
}
_PUBLIC = {"_asdict", "_replace", "_fields", "_exit"}
"""Documented in spite of their underscore."""


def private_names(source: str) -> Iterator[str]:
    """Names with one underscore that the source takes from something other than itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(("pipeline", "docs", "benchmarks")):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))


def test_every_private_name_in_use_is_listed() -> None:
    files = [file for folder in ("pipeline", "benchmarks", "docs/writers") for file in (ROOT / folder).rglob("*.py")]
    used = {name for file in files for name in private_names(file.read_text()) if name.startswith("_") and name[1] != "_"}
    assert used - _PUBLIC == set(PRIVATE)


def test_exit_functions_run_on_demand() -> None:
    """When atexit gets a public function for that, or os._exit is not needed any more, this can go."""
    program = "import atexit, os; atexit.register(print, 'ran', flush=True); atexit._run_exitfuncs(); os._exit(3)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("ran\n", 3)


def test_a_parser_tells_its_options() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, choices=[1, 2])
    parser.add_argument("--wet", action="store_true")
    size, wet = parser._actions[1:]
    assert (size.dest, size.type, size.choices, wet.nargs) == ("size", int, [1, 2], 0)


def test_diffusers_pipelines_keep_their_scale_where_the_callback_sets_it() -> None:
    """When a callback of diffusers can return a scale, `_Callback` can do without."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    class Stand:
        _guidance_scale = 3.0

    for pipe in (StableDiffusionPipeline, StableDiffusionXLPipeline):
        assert pipe.guidance_scale.fget(Stand()) == 3.0


def test_torch_has_what_the_benchmark_counts_with() -> None:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    assert hasattr(TorchDispatchMode, "__torch_dispatch__") and tree_leaves([1, (2, {"a": 3})]) == [1, 2, 3]
    query = torch.ones(1, 1, 2, 4)
    torch._dynamo.reset()
    assert torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, query, query)[0].shape == query.shape


def test_the_list_would_notice_another_one() -> None:
    assert {"_private", "_module"} <= set(private_names("import torch._module\nx = torch.y._private"))
