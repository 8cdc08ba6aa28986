"""From what single runs ask for to the job arrays that are submitted: grouped, packed and cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from suite.experiment.executor import Request

Item = TypeVar("Item")


class Array(NamedTuple):
    """Jobs that ask for the same: per job the runs that are packed into it, and how many jobs may run at once."""

    request: Request  # of one run
    jobs: tuple[tuple[str, ...], ...]
    at_once: int = 1
    after: int | None = None  # the array, by its place, that has to end before this one begins

    @property
    def size(self) -> int:
        """Runs of its fullest job."""
        return max(map(len, self.jobs))


def arrays(requests: Mapping[str, Request], runs_per_job: int, largest: int, at_once: int) -> list[Array]:
    """The arrays of runs, by name, that keep the order of `requests`.

    At most `runs_per_job` runs are in a job, `largest` jobs in an array, and `at_once` jobs run at once in all arrays
    together: they share that number by their sizes, and where there are more arrays than that, some wait for others.
    """
    groups: dict[Request, list[str]] = {}
    for name, request in requests.items():
        groups.setdefault(request, []).append(name)
    cut = [
        (request, piece)
        for request, names in groups.items()
        for piece in _pieces([tuple(packed) for packed in _pieces(names, runs_per_job)], largest)
    ]
    shares = _shares([len(jobs) for _, jobs in cut], at_once)
    return [
        Array(request, tuple(jobs), share, place - at_once if place >= at_once else None)
        for place, ((request, jobs), share) in enumerate(zip(cut, shares))
    ]


def _pieces(items: Sequence[Item], length: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + length] for start in range(0, len(items), length))


def _shares(sizes: Sequence[int], total: int) -> list[int]:
    """`total` divided in proportion to `sizes`: at least 1 each, at most what each can use, and no more in all.

    Where there are more sizes than that, 1 each.
    """
    if len(sizes) >= total:
        return [1] * len(sizes)
    wanted = sum(sizes)
    shares = [max(1, min(size, total * size // wanted)) for size in sizes]
    while sum(shares) > total:
        shares[shares.index(max(shares))] -= 1
    for place in sorted(range(len(sizes)), key=lambda place: shares[place] - sizes[place]):
        shares[place] += min(sizes[place] - shares[place], total - sum(shares))
    return shares
