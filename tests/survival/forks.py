"""A process that has imported what the stages need, and forks for each command: `python forks.py`, requests on stdin.

A request is a line of JSON: arguments, folder, output. The answer is the exit status of a process that ran
`redifine ARGUMENTS` in the folder, with all that it said in the file `output`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from pipeline.cli import fork_server
from pipeline.core.process import die_with_parent


def answer(request: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    die_with_parent()
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.chdir(request["folder"])
    sys.argv = ["redifine", *request["arguments"]]
    importlib.import_module("pipeline.cli.application").main()
    raise AssertionError("click exits")


def main() -> None:
    die_with_parent()
    for module in fork_server._MODULES:
        importlib.import_module(f"pipeline.{module}")
    for line in sys.stdin:
        print(answer(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
