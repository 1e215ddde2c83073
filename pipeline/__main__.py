"""`python -m pipeline ...`: what dvc.yaml runs, so that a copy of the project runs the copy's own code."""

from __future__ import annotations

import os
import sys

try:
    from pipeline.core.process import die_with_parent

    if "DVC_STAGE" in os.environ:
        die_with_parent()  # first of all: a DVC that is killed while this imports must not leave it behind

    from pipeline.run.fork_client import run_in_fork

    if (status := run_in_fork(sys.argv[1:])) is not None:
        sys.exit(status)
    if "DVC_STAGE" in os.environ:
        from pipeline.core.loaded_code import note_code

        note_code()  # as it is before it is imported
    from pipeline.cli.application import main
except KeyboardInterrupt:
    sys.exit(130)
except ModuleNotFoundError as error:
    if error.name and error.name.startswith("pipeline"):
        raise
    print(
        f"Error: {sys.executable} lacks {error.name}; run 'make env' and then '. .venv/bin/activate', "
        "so that 'python' is the project's",
        file=sys.stderr,
    )
    sys.exit(2)

main()
