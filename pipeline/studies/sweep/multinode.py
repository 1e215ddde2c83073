"""A script for Slurm: each M_k trained on several nodes through `srun accelerate launch`, the rest done on the first."""

from __future__ import annotations

import shlex
from pathlib import Path

from pipeline.chain.params import Params
from pipeline.core.errors import UserError
from pipeline.studies.sweep.resources import Resources
from pipeline.train.processes import NODES

_SCRIPT = """\
#!/bin/bash
# The chain of params.yaml in {folder}: each M_k is trained on {nodes} nodes, by {total} processes that share every batch;
# all else runs on the first node, with {per_node}. Submit it with 'sbatch', and again to go on after its time is up.
{flags}
#SBATCH --open-mode=append
#SBATCH --output=logs/chain-%j.log
set -euo pipefail
cd {folder}
{setup}export PATH={path}:$PATH
export TMPDIR={folder}/scratch/tmp  # where all nodes see it
mkdir -p "$TMPDIR"
dvc repro prepare reference reference_analysis
for k in $(seq {last}); do
    dvc repro curate@$k
    REDIFINE_PROCESSES={total} {variable}={nodes} dvc repro train@$k
    REDIFINE_PROCESSES={per_node} dvc repro measure@$k analyse@$k
done
dvc repro
"""


def script(folder: Path, params: Params, resources: Resources, nodes: int, python: Path) -> str:
    """Return the text of the script; `resources` are those of each node, and `python` is the environment's.

    Raises UserError for a chain that could not be trained so.
    """
    total = nodes * max(resources.gpus, 1)
    if params.trainer != "kohya":
        raise UserError(f"only trainer: kohya trains on several nodes, and params.yaml says {params.trainer}; set it there")
    if params.batch_size % total:
        raise UserError(f"{total} processes cannot share batches of {params.batch_size}; make it a multiple of {total}")
    flags = {
        "job-name": "redifine", "nodes": nodes, "ntasks-per-node": 1, "time": resources.minutes,
        "partition": resources.partition, "gpus-per-node": resources.gpus or None, "cpus-per-task": resources.cpus,
        "mem": f"{resources.memory * 1024:.0f}M" if resources.memory else None,
        "account": resources.account, "qos": resources.qos, "constraint": resources.constraint,
    }  # fmt: skip
    per_node = max(resources.gpus, 1)
    return _SCRIPT.format(
        folder=shlex.quote(str(folder)), nodes=nodes, total=nodes * per_node, per_node=per_node, variable=NODES,
        flags="\n".join(f"#SBATCH --{key}={value}" for key, value in flags.items() if value is not None),
        setup="".join(f"{line}\n" for line in resources.setup), path=shlex.quote(str(python.parent)), last=params.last,
    )  # fmt: skip
