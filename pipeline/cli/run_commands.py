"""Run commands of the pipeline one after another in one process, which imports the libraries once (for `verify`)."""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    from pipeline.cli.application import main

    for arguments in json.loads(sys.argv[1]):
        if code := main(arguments, standalone_mode=False):
            sys.exit(code)
