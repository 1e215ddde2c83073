"""DVC's command line, run in this process, with the exit status of a failed stage."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Sequence

_STAGE_STATUS = re.compile(r"exited with (-?\d+)$")
_PASSED_ON = {2: 2, 130: 130, -signal.SIGINT: 130}
"""A stage's exit status -> this command's, where it means something: one sentence said what to do; Ctrl-C."""
_DVC_INTERRUPTED = 252


def run_dvc(arguments: Sequence[str]) -> int:
    """`dvc ARGUMENTS` -> its exit status. DVC ends with 255 whatever a stage ended with; 2 and 130 of a stage are passed on."""
    from dvc.cli import main

    failures = _Failures()
    logger = logging.getLogger("dvc")
    logger.addHandler(failures)
    try:
        code = main(list(arguments))
    finally:
        logger.removeHandler(failures)
    if code == _DVC_INTERRUPTED:
        return 130
    return _PASSED_ON.get(failures.stage_status, code) if code else 0


class _Failures(logging.Handler):
    """Remembers with what the stage ended whose failure DVC last reported."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.stage_status = 0

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        while error is not None:
            if isinstance(error, KeyboardInterrupt):
                self.stage_status = 130
            elif found := _STAGE_STATUS.search(str(error)):
                self.stage_status = int(found[1])
            error = error.__cause__ or error.__context__
