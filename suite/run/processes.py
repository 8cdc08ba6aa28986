"""Worker processes: one per training folder, one thread each, which end with the process that started them.

A worker is a process of its own (`python -P -m suite.run.worker FOLDER`), so that a crash takes nothing else with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from suite.results.json_files import open_log

PARENT_PIPE = "OFFMAP_PARENT_PIPE"  # tells a worker that its standard input closes when its parent is gone
STOPPED = 75  # exit code of a worker that was asked to end and kept all it had done (EX_TEMPFAIL of sysexits.h)
TAKEN = 77  # exit code of a worker whose folder another process works on

ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}
# Large tensors from the heap, and the heap never given back: without this glibc maps and unmaps every large
# temporary of a gradient step, and the page faults cost 10 to 15 % of it. Huge pages, where the kernel leaves them to
# programs, save another 1 to 4 %.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "10000000000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

Process = subprocess.Popen[bytes]


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_command(folder: Path) -> list[str]:
    """The command that does all the work of a training folder. `-P`: the user's own folders shadow none of ours."""
    return [sys.executable, "-P", "-m", "suite.run.worker", str(folder)]


def worker_environment() -> dict[str, str]:
    """The environment variables of a worker: one thread, and an allocator that suits gradient steps."""
    return {**ALLOCATOR, **os.environ, **ONE_THREAD}


def start_worker(folder: Path, command: list[str], environment: Mapping[str, str] | None = None) -> Process:
    """A worker whose output is appended to `worker.log` in its folder; `environment` adds to that of a worker.

    In a session of its own, so that a Ctrl-C in the terminal reaches it through the executor alone.
    """
    with open_log(folder / "worker.log") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=worker_environment() | {PARENT_PIPE: "1"} | dict(environment or {}),
            start_new_session=True,
        )


def end_workers(processes: Sequence[Process], grace_seconds: float) -> None:
    """Ask workers to end, which lets them keep what they have done, and kill those that have not after a while."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + grace_seconds
    for process in processes:
        try:
            process.wait(max(until - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        release(process)


def release(process: Process) -> None:
    """Close the pipe to a process that has ended."""
    if process.stdin is not None:
        process.stdin.close()


def end_with_parent() -> None:
    """End this process when the one that started it is gone; workers call it first.

    A worker that outlived its executor would own its folder, and the next `offmap run` could not continue it. It is
    not asked but killed: what it would still write, its successor writes again.
    """
    if PARENT_PIPE not in os.environ:
        return

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
