"""The Slurm executor: runs are submitted as job arrays, and go on without whoever submitted them.

What goes to the cluster is made by submitit; which job works on which run is kept in the ledger (`suite.results.jobs`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.errors import UserError
from suite.executors.code_snapshot import Code
from suite.executors.slurm_arrays import Array, arrays
from suite.experiment.executor import ExecutorSpec, Request, megabytes_of
from suite.results.jobs import FOLDER, Submission, write_submission

UNFIT = {
    "%": "a pattern of a log's name",
    ":": "the end of a path on PYTHONPATH",
    "\\": "an escape",
    "\n": "the end of a line",
}
"""Letters that a results folder's name must not have where jobs work in it, and what they would be taken for."""

SMALLEST_LIMIT = 1001  # Slurm's own default of MaxArraySize
SITE_OPTIONS = ("partition", "account", "qos", "constraint", "reservation")  # that variables may give a default for
PATIENT = 1_000_000  # requeues at a time limit that submitit allows: as many as a run needs


def require_slurm() -> None:
    """Nothing, if jobs can be submitted from this machine.

    Raises:
        UserError: they cannot.
    """
    missing = [name for name in ("sbatch", "squeue", "scontrol", "scancel", "srun") if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"executor: slurm was asked for, and there is no {' or '.join(missing)} here; run this on a login node of "
            "the cluster, or use --executor local"
        )


def require_acceptance(spec: ExecutorSpec, out: Path) -> None:
    """Nothing, if Slurm would take the jobs of an experiment whose results go to `out`; nothing is written.

    Raises:
        UserError: it would not, in its own words, or the name of the folder would not survive there.
    """
    odd = [letter for letter in UNFIT if letter in str(out.absolute())]
    if odd:
        raise UserError(
            f"--out: {out.absolute()} has {' and '.join(map(repr, odd))} in it, which Slurm would take for "
            f"{' and '.join(UNFIT[letter] for letter in odd)}; choose a folder without"
        )
    for request in dict.fromkeys([spec.request([]), *(spec.request([name]) for name in spec.variants)]):
        options = [
            f"--{name.replace('_', '-')}={value}" for name, value in _options(request, spec.runs_per_job).items()
        ]
        command = ["sbatch", "--test-only", *options, "--wrap=true"]
        with submitting(request):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UserError(f"Slurm refuses such jobs ({shlex.join(options)}): {_words(done.stderr)}")


def largest_array() -> int:
    """How many elements an array may have on this cluster.

    Raises:
        UserError: the cluster does not answer.
    """
    done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"Slurm does not answer: {_words(done.stderr)}")
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", done.stdout)
    return max(int(found[1]) if found else SMALLEST_LIMIT, 1)


def make_arrays(requests: Mapping[str, Request], spec: ExecutorSpec, largest: int) -> list[Array]:
    """What would be submitted for training folders, by name; the canary, if there is one, first."""
    first = dict(list(requests.items())[:1]) if spec.canary and len(requests) > 1 else {}
    others = {name: request for name, request in requests.items() if name not in first}
    canary = arrays(first, 1, 1, 1) if first else []
    return canary + arrays(others, spec.runs_per_job, largest, spec.array_parallelism)


def submit(
    out: Path, made: Sequence[Array], spec: ExecutorSpec, code: Code, say: Callable[[str], None] = lambda words: None
) -> list[Submission]:
    """Submit arrays of prepared training folders of `out`, and write each into the ledger; `say` hears of each.

    Raises:
        UserError: Slurm refused one, in its own words; those before it are submitted and in the ledger, and of the
            refused one no file is left.
    """
    jobs = out / FOLDER
    jobs.mkdir(exist_ok=True)
    submissions: list[Submission] = []
    try:
        for array in made:
            after = _dependency(array, submissions, has_canary=spec.canary and len(made) > 1)
            with submitting(array.request):
                number = _submit_array(out, array, spec, code, after)
            canary = made[0].jobs[0][0] if spec.canary and submissions else ""
            known = (str(code.folder), code.revision)
            submissions.append(Submission(number, array.jobs, time.time(), *known, canary=canary))
            write_submission(out, submissions[-1])
            say(f"submitted job {number}: {described(array)}")
    finally:
        _discard_scratch(jobs)
    return submissions


def described(array: Array) -> str:
    """An array in a few words."""
    runs = sum(map(len, array.jobs))
    packed = f" with up to {array.size} runs each" if array.size > 1 else ""
    asked = ", ".join(f"{name} {value}" for name, value in _options(array.request, array.size).items())
    if len(array.jobs) == 1:
        return f"{runs} {'run' if runs == 1 else 'runs'} ({asked})"
    return f"{runs} runs in {len(array.jobs)} jobs{packed}, {array.at_once} at once ({asked})"


def cancel_jobs(names: Sequence[str]) -> None:
    """Have jobs and elements of arrays cancelled; those that have ended do not mind.

    Raises:
        UserError: Slurm refuses, in its own words.
    """
    done = subprocess.run(["scancel", *names], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "Invalid job id" not in done.stderr:
        raise UserError(f"scancel: {_words(done.stderr)}")


@contextmanager
def submitting(request: Request) -> Iterator[None]:
    """Within, the environment of this process decides nothing that the experiment decides.

    sbatch takes options from variables such as `SBATCH_TIMELIMIT`, which site modules set, before those of a script:
    only where a job runs and who pays for it are left to them (`SITE_OPTIONS`), and only if the request leaves it open.
    A job that submits jobs hands on nothing of its own allocation, but still talks to the same cluster.
    """
    from submitit.helpers import clean_env

    kept = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    for option in SITE_OPTIONS:
        name = f"SBATCH_{option.upper()}"
        if getattr(request, option, None) is None and name in os.environ:
            kept[name] = os.environ[name]
    with clean_env():
        for name in [name for name in os.environ if name.startswith("SBATCH_")]:
            del os.environ[name]
        os.environ.update(kept)
        yield


def _options(request: Request, runs: int) -> dict[str, Any]:
    """What a job of `runs` runs asks of sbatch."""
    asked = {name: getattr(request, name) for name in ("partition", "account", "qos", "constraint", "exclude")}
    asked |= {
        "time": request.time,
        "mem": f"{runs * megabytes_of(request.memory)}M",
        "cpus_per_task": runs * request.cpus,
        "gpus_per_node": request.gpus or None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _dependency(array: Array, submissions: Sequence[Submission], has_canary: bool) -> str | None:
    """What an array waits for: the canary's success, and the end of the array before it where it takes its place."""
    waits = []
    if has_canary and submissions:
        waits.append(f"afterok:{submissions[0].job}")
    if array.after is not None:
        waits.append(f"afterany:{submissions[array.after + (1 if has_canary else 0)].job}")
    return ",".join(waits) or None


def _submit_array(out: Path, array: Array, spec: ExecutorSpec, code: Code, after: str | None) -> str:
    """Slurm's number of an array, once submitted."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError

    from suite.executors.slurm_job import Job

    # `exec`: the signals that Slurm sends to the batch shell then reach Python, without srun in between.
    executor = SlurmExecutor(out / FOLDER, PATIENT, python=f"exec {shlex.quote(sys.executable)} -P")
    executor.update_parameters(
        job_name=f"offmap-{out.name}",
        array_parallelism=array.at_once,
        signal_delay_s=spec.signal_seconds,
        use_srun=False,
        setup=[*spec.setup, *code.setup],
        dependency=after,
        additional_parameters={"signal": f"B:USR2@{spec.signal_seconds}", "requeue": True}
        | ({"kill-on-invalid-dep": "yes"} if after else {}),
        **_options(array.request, array.size),
    )
    where = out.absolute()
    try:
        with executor.batch():
            jobs = [
                executor.submit(Job([str(where / name) for name in runs], array.request.time, spec.signal_seconds))
                for runs in array.jobs
            ]
    except FailedJobError as error:
        raise UserError(f"Slurm refused {described(array)}: {_words(str(error))}") from None
    return str(jobs[0].job_id).partition("_")[0]


def _discard_scratch(jobs: Path) -> None:
    """Remove what submitit leaves behind of a submission that was refused, and its hidden links to the others."""
    for path in (*jobs.glob(".submission_file_*.sh"), *jobs.glob("*.pkl")):
        if path.name.startswith(".") or re.fullmatch(r"[0-9a-f]{32}\.pkl", path.name):
            path.unlink()


def _words(told: str) -> str:
    """Slurm's own words in one line."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    own = [line for line in lines if re.match(r"(sbatch|scontrol|scancel|slurm\w*|allocation failure)\b", line)]
    return " ".join(dict.fromkeys(own or lines)) or "it gives no reason"
