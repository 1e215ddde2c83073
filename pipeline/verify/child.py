"""Run commands of the pipeline one after another in one process, which imports the libraries once."""

from __future__ import annotations

import json
import sys

from pipeline.cli import main

if __name__ == "__main__":
    for arguments in json.loads(sys.argv[1]):
        if code := main(arguments, standalone_mode=False):
            sys.exit(code)
