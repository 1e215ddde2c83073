"""A stage of a chain that takes as long as its project's file `seconds` says, and tells what it read; no model, no image.

Run by DVC as `python stand_in.py KIND`. It goes through `run_stage` as every stage does. Its output holds its parameters, its
module's text and the first line of each input; `computed.log` of the project gets a line when it ends.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

sys.modules["pipeline.run.status"] = package = ModuleType("pipeline.run.status")  # without the table, which imports DVC
package.__path__ = [str(Path(__file__).resolve().parents[3] / "pipeline/run/status")]

from pipeline.core.loaded_code import note_code, note_imported  # noqa: E402

note_code()

from pipeline.run import recorded_stage  # noqa: E402

MODULE = Path("extensions/stand_in.py")
INPUTS = {"train": "data/D_0", "sample": "models/M_1", "report": "data/D_1"}
OUTPUTS = {"train": "models/M_{k}", "sample": "data/D_{k}", "report": "report"}


def work(view: Any) -> None:
    kind, _, k = os.environ["DVC_STAGE"].partition("@")
    values = {name: value for name, value in view.as_dict().items() if isinstance(value, str | int | float | None)}
    inputs = {path.as_posix(): path.read_text() for path in sorted(Path(INPUTS[kind]).iterdir())}
    Path("begun").mkdir(exist_ok=True)  # in the copy for an experiment, too
    (Path("begun") / os.environ["DVC_STAGE"]).write_text("")
    time.sleep(float(Path("seconds").read_text()) if Path("seconds").exists() else 0.0)
    folder = Path(OUTPUTS[kind].format(k=k))
    folder.mkdir(parents=True, exist_ok=True)
    record = {"params": values, "module": CODE, "inputs": inputs}
    (folder / "record.json").write_text(json.dumps(record, sort_keys=True))
    with Path("computed.log").open("a") as file:
        file.write(json.dumps([os.environ["DVC_STAGE"], record], sort_keys=True) + "\n")


if __name__ == "__main__":
    CODE = MODULE.read_text()
    recorded_stage._import_all = lambda kind: note_imported()
    try:
        recorded_stage.run_stage(sys.argv[1], work)
    except recorded_stage.UserError as error:
        sys.exit(print(f"Error: {error}", file=sys.stderr) or 2)
