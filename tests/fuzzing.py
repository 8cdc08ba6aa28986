"""What the fuzzing tests of all boundaries share: how many cases each makes, each of a seed of its own, and the limits.

`OFFMAP_FUZZ` is how many damaged files there are altogether, shared out by what a case costs: ten thousand in `make
stress`, a twentieth of them in `make slow`. `OFFMAP_FUZZ_SEED` draws others.
"""

import os
import random
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TOTAL = int(os.environ.get("OFFMAP_FUZZ", "500"))
SEED = int(os.environ.get("OFFMAP_FUZZ_SEED", "1"))
SHARES = {"experiment": 0.76, "results": 0.18, "checkpoints": 0.035, "records": 0.025}
"""Boundary -> part of all cases; a case takes about 0.004, 0.04, 0.2 and 2 seconds of a processor."""

SECONDS = 40.0  # of a processor; what is promised is ten, and a machine that is shared may be four times slower
MEGABYTES = 1000
HANGING_SECONDS = 600  # of the clock: whoever waits for a pipe would wait for ever
MOST_FAILURES = 10  # that are told of


def number_of_cases(boundary: str) -> int:
    """How many cases the long test of a boundary makes."""
    return max(1, round(TOTAL * SHARES[boundary]))


def fuzz(check: Callable[[random.Random], None], number: int, seed: int) -> None:
    """Check a number of cases, each with a generator of its own, and tell which of them failed."""
    failures = []
    for index in range(number):
        try:
            check(random.Random(f"{seed}/{index}"))
        except Exception as error:
            failures.append(f"case {seed}/{index}: {type(error).__name__}: {error}")
            if len(failures) == MOST_FAILURES:
                break
    assert not failures, f"{len(failures)} failures in {number} cases:\n" + "\n\n".join(failures)


@contextmanager
def bounded(told: object) -> Iterator[None]:
    """Within, this process may use so much time and memory, and may not wait for ever; `told` says of what case."""

    def hangs(*_: object) -> None:
        raise AssertionError(f"hangs: {told}")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANGING_SECONDS)
    megabytes, began = _forget_peak(), time.process_time()
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    seconds = time.process_time() - began
    assert seconds < SECONDS, f"{seconds:.1f} s: {told}"
    more = _peak() - megabytes
    assert more < MEGABYTES, f"{more} MB: {told}"


def snapshot(folder: Path, besides: Path | None = None) -> dict[str, bytes | str | int]:
    """All that lies below a folder, but for what is below `besides`: by its path there, the bytes of a file, where a
    link leads, or the kind of anything else. Follows no link and opens no pipe."""
    seen: dict[str, bytes | str | int] = {}
    root = os.fspath(folder)
    open_folders = [root]
    while open_folders:
        with os.scandir(open_folders.pop()) as entries:
            for entry in entries:
                name = entry.path[len(root) + 1 :]
                if entry.is_symlink():
                    seen[name] = os.readlink(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    with open(entry.path, "rb") as file:
                        seen[name] = file.read()
                else:
                    seen[name] = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
                    if entry.is_dir(follow_symlinks=False) and Path(entry.path) != besides:
                        open_folders.append(entry.path)
    return seen


def resident_megabytes() -> int:
    """Megabytes of memory that this process has now, which a child begins with; 0 where the system does not tell."""
    return _memory("VmRSS")


def _peak() -> int:
    """Megabytes of memory that this process has had at most; 0 where the system does not tell."""
    return _memory("VmHWM")


def _memory(kind: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith(kind)), 0)


def _forget_peak() -> int:
    """Megabytes that this process has now, from which on the peak is counted anew."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()
