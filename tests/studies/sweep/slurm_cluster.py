"""A real Slurm of two nodes on this machine: munged, slurmctld and two slurmd, in a folder of their own, without systemd."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "srun", "scancel")
NODES = ("n1", "n2")

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=3
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
JobRequeue=1
KillWait=5
SlurmdTimeout=600
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=100
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=100
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs that are not installed; Debian puts some where only root looks."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"


@dataclass
class Cluster:
    """Slurm's commands, and the daemons behind them."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs that is to use this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _path()}

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def jobs(self) -> dict[str, tuple[str, str]]:
        """{job: (state, node)} of those that queue or run."""
        rows = [line.split("|") for line in self.ask("squeue", "-h", "-r", "-o", "%i|%T|%N").splitlines()]
        return {job: (state, node) for job, state, node in rows}

    def processes(self, job: str) -> list[psutil.Process]:
        """The processes that submitit started for a job on its node."""
        return [process for process in psutil.process_iter() if _is_of(process, job)]

    def tell_that_the_time_is_up(self, job: str) -> None:
        """As Slurm does before a job's end; scancel's exit status tells of the script, which it does not reach."""
        subprocess.run(["scancel", "--signal=USR2", job], env=os.environ | self.environment, check=False)

    def requeue(self, job: str) -> None:
        """As preemption does, but without the two minutes that Slurm gives the credentials of a first turn to expire."""
        self.ask("scontrol", "requeue", job)
        wait(lambda: self.jobs()[job][0] == "PENDING", 120, "the end of the job's turn")
        self.ask("scontrol", "update", f"jobid={job}", "starttime=now")

    def start(self, *command: str) -> None:
        with (self.folder / f"{Path(command[0]).name}-{len(self.daemons)}.out").open("wb") as output:
            self.daemons.append(
                subprocess.Popen(
                    command, env=os.environ | self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
            )

    def end(self) -> None:
        """Cancel what runs, then end the daemons, in the reverse order of their start."""
        subprocess.run(["scancel", "--user", getpass.getuser()], env=os.environ | self.environment, check=False)
        with suppress(subprocess.CalledProcessError, AssertionError):
            wait(lambda: not self.jobs(), 60, "the end of all jobs")
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()


def _is_of(process: psutil.Process, job: str) -> bool:
    try:
        values = process.environ()
        ours = "submitit.core._submit" in process.cmdline() and "srun" not in process.name()
    except psutil.Error:
        return False
    return ours and job in (
        f"{values.get('SLURM_ARRAY_JOB_ID')}_{values.get('SLURM_ARRAY_TASK_ID')}",
        values.get("SLURM_JOB_ID"),
    )


def wait(happened: Callable[[], object], seconds: float, what: str, every: float = 0.5) -> None:
    """Ask `every` so many seconds: to ask for the state of chains costs as much as a small stage."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(every)


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """The cluster, both nodes idle; everything ends with the block. `folder` must have a short path: it holds a socket."""
    cluster = Cluster(folder)
    try:
        _start(cluster)
        wait(lambda: cluster.ask("sinfo", "-h", "-o", "%t %D") == "idle 2", 60, "two idle nodes")
        yield cluster
    finally:
        cluster.end()


def _start(cluster: Cluster) -> None:
    folder = cluster.folder
    for name in ("munge", "state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(mode=0o700)
    key = folder / "munge/key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    text = CONFIG.format(host=socket.gethostname(), user=getpass.getuser(), folder=folder, ports=_free_ports(3))
    (folder / "slurm.conf").write_text(text)
    names = {"socket": "socket", "key-file": "key", "log-file": "log", "pid-file": "pid", "seed-file": "seed"}
    cluster.start("munged", "--foreground", "--force", *(f"--{name}={folder}/munge/{file}" for name, file in names.items()))
    wait((folder / "munge/socket").exists, 30, "munged")
    cluster.start("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
    for node in NODES:
        cluster.start("slurmd", "-D", "-N", node, "-f", str(folder / "slurm.conf"))


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
