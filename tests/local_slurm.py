"""A real Slurm on this machine, from Debian's packages, for tests: munged, slurmctld and four slurmd.

Everything lives in one folder and on ports of its own, so it disturbs no other Slurm. There is no accounting, as on
many clusters. Daemons stay in the foreground of sessions of their own with closed streams; each is ended by its own
process id, and by the kernel where the process that started them is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from disks import small_disk
from patience import PATIENCE

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "setpriv")
NODES = ("e1", "e2", "e3", "e4")
CPUS = 2  # that each node claims to have
MAX_ARRAY_SIZE = 5
REQUEUE_SECONDS = 5  # that a requeued job waits: what `cred_expire` also stands for, and the least that it takes
SYSTEM_PATH = "/usr/sbin:/sbin"

CONFIGURATION = """
ClusterName=offmap-test
SlurmctldHost=localhost
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire={requeue}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MaxArraySize={array}
ReturnToService=2
KillWait=2
SlurmdTimeout=5
MessageTimeout=10
MinJobAge=600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=low Nodes=e[1-4] Default=YES State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=15
PartitionName=high Nodes=e[1-4] State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Why no cluster can be started here; None if one can."""
    absent = [name for name in PROGRAMS if _find(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: apt-get install slurm-wlm munge)"
    return None if os.geteuid() == 0 else "the daemons of a cluster need root"


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


class Cluster:
    """The daemons of a cluster in `folder`, and what tests ask of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start every daemon and wait until the nodes are idle.

        Raises:
            RuntimeError: a daemon ended, or the nodes did not come.
        """
        for name in ("munge", "state", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "munge").chmod(0o711)
        controller, *ports = _free_ports(1 + len(NODES))
        nodes = [
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} RealMemory=64000"
            for node, port in zip(NODES, ports)
        ]
        written = CONFIGURATION.format(
            folder=self.folder, controller=controller, nodes="\n".join(nodes), array=MAX_ARRAY_SIZE,
            requeue=REQUEUE_SECONDS,
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(written)
        self._start_munge()
        self._launch("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            self.start_node(node)
        self.wait_for(lambda: self.node_states() == dict.fromkeys(NODES, "idle"), "the nodes are idle")

    def _start_munge(self) -> None:
        place = self.folder / "munge"
        (place / "key").write_bytes(os.urandom(1024))
        (place / "key").chmod(0o400)
        options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        named = [f"--{option}={place / name}" for option, name in options.items()]
        self._launch("munged", "munged", "--foreground", "--force", *named)
        self.wait_for((place / "socket").exists, "munged listens")

    @property
    def stopped(self) -> list[str]:
        """Nodes that are not there now."""
        return [node for node in NODES if node not in self._daemons]

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._launch(node, "slurmd", "-D", "-N", node)

    def stop_node(self, node: str) -> None:
        """Kill a node: its daemon, and every process of the jobs on it, all at once and without a word."""
        daemon = self._daemons.pop(node)
        found = [daemon.pid, *_descendants(daemon.pid)]
        for step in self._step_daemons(node):
            found += [step, *_descendants(step)]
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        daemon.wait()

    def _step_daemons(self, node: str) -> list[int]:
        """The slurmstepd processes of a node, which outlive its daemon: their titles name the job."""
        jobs = self.ask("squeue", "--noheader", f"--nodelist={node}", "--format=%A").split()
        return [
            process
            for process in map(int, filter(str.isdigit, os.listdir("/proc")))
            if any(_command_line(process).startswith(f"slurmstepd: [{job}.") for job in jobs)
            and _environment(process).get("SLURM_CONF") == self.environment["SLURM_CONF"]
        ]

    @contextlib.contextmanager
    def small_spool(self) -> Iterator[Path]:
        """Within, nodes keep their spool on a file system of 2 MB: its folder."""
        for node in NODES:
            self.stop_node(node)
        spool = self.folder / "spool"
        try:
            with small_disk(spool, "2m"):
                for node in NODES:
                    (spool / node).mkdir()
                    self.start_node(node)
                self.wait_for(lambda: set(self.node_states().values()) == {"idle"}, "the nodes are idle")
                yield spool
                self.cancel_all()
                for node in NODES:
                    self.stop_node(node)
        finally:
            for node in self.stopped:
                self.start_node(node)

    def _launch(self, name: str, program: str, *arguments: str) -> None:
        executable = _find(program)
        assert executable is not None
        self._daemons[name] = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", executable, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | self.environment | {"PATH": f"{os.environ['PATH']}:{SYSTEM_PATH}"},
            cwd=self.folder,  # where it leaves its core, if it dumps one: slurmstepd does on a full spool
            start_new_session=True,
        )  # fmt: skip

    def stop(self) -> None:
        """End every job, then every daemon, each by its process id; never raises for one that is gone."""
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            self.cancel_all()
        for name in reversed(self._daemons):
            self._daemons[name].terminate()
        until = time.monotonic() + 20
        for daemon in self._daemons.values():
            try:
                daemon.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def cancel_all(self) -> None:
        """End every job and wait until none is left on a node."""
        self.ask("scancel", "--user=root")
        with contextlib.suppress(TimeoutError):
            self.wait_for(lambda: not self.jobs(), "no job is left", 30)

    def ask(self, *command: str) -> str:
        """What a client program of Slurm printed.

        Raises:
            RuntimeError: it failed; the message holds what it said.
        """
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | self.environment, timeout=300, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
        return done.stdout

    def jobs(self, states: str = "pending,running,completing,suspended,requeued") -> dict[str, str]:
        """State of each job in one of `states`, array tasks one by one (`all`: finished ones too)."""
        printed = self.ask("squeue", "--noheader", "--array", f"--states={states}", "--format=%i %T")
        return dict(line.split() for line in printed.splitlines())

    def node_states(self) -> dict[str, str]:
        """State of each node: idle, mixed, allocated, down and others, a star behind it where it does not answer."""
        try:
            printed = self.ask("sinfo", "--noheader", "--Node", "--format=%N %T")
        except RuntimeError:
            return {}
        return dict(line.split() for line in printed.splitlines())

    def wait_for(self, reached: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Return when `reached()` is true; where Slurm did not answer it in time, it is asked again.

        Raises:
            TimeoutError: it is not within `seconds`.
            RuntimeError: a daemon has ended meanwhile.
        """
        until = time.monotonic() + seconds
        while not _answer(reached):
            for name, daemon in self._daemons.items():
                if daemon.poll() is not None:
                    raise RuntimeError(f"{name} ended with {daemon.returncode}: {self._last_words(name)}")
            if time.monotonic() > until:
                raise TimeoutError(f"after {seconds} s it is still not so that {what}; {self.describe()}")
            time.sleep(0.1)

    def _last_words(self, name: str) -> str:
        path = self.folder / ("munge/log" if name == "munged" else f"{name}.log")
        return "\n".join(path.read_text(errors="replace").splitlines()[-5:]) if path.exists() else "it said nothing"

    def describe(self) -> str:
        """Nodes and jobs as they are now, for the message of a failure."""
        return f"nodes {_answer(self.node_states)}, jobs {_answer(lambda: self.jobs('all'))}"


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster in `folder`, stopped at the end, whatever happens."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _answer(question: Callable[[], object]) -> object:
    """What is found, None where a busy controller has kept a client waiting for too long."""
    try:
        return question()
    except (RuntimeError, subprocess.TimeoutExpired):
        return None


def _free_ports(number: int) -> list[int]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _environment(process: int) -> dict[str, str]:
    try:
        held = Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in held.split("\0") if "=" in entry)


def _descendants(process: int) -> list[int]:
    """All processes below one, by their parents in /proc."""
    try:
        children = [int(word) for task in Path(f"/proc/{process}/task").iterdir()
                    for word in (task / "children").read_text().split()]  # fmt: skip
    except OSError:
        return []
    return [found for child in children for found in (child, *_descendants(child))]
