"""From prepared training folders to work on them: what is left to do, and by which executor it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.errors import UserError
from suite.executors.base import Interrupted, Outcome, Pool, Tick
from suite.executors.code_snapshot import launched_code
from suite.executors.inline import run_inline
from suite.executors.local import interruptible, run_local
from suite.executors.slurm import cancel_jobs, largest_array, make_arrays, require_slurm, submit
from suite.experiment.executor import ExecutorSpec, Request
from suite.experiment.overrides import put
from suite.monitor.job_states import ACTIVE, Cluster
from suite.results.jobs import Submission, changing
from suite.results.json_files import DamagedFile, keep_json
from suite.results.layout import pending, read_grid, refuse_altered
from suite.results.lock import owner
from suite.results.shapes import EXECUTION, EXPERIMENT, REMEDY, read_shaped
from suite.results.status import read_status
from suite.run.processes import TAKEN, available_cores

FOLLOW_SECONDS = 10.0  # between two questions to Slurm while somebody waits for the end
WATCH_SECONDS = 0.5  # between two looks at folders that other processes of this or another machine work on


def changed_spec(out: Path, overrides: Sequence[str] = (), **values: Any) -> ExecutorSpec:
    """How the runs of a results folder were last to be carried out, with `key=value` overrides and `values` put in.

    Raises:
        UserError: it is no results folder, or something is not valid.
    """
    grid = read_grid(out)
    document = read_shaped(out / "experiment.json", EXPERIMENT)["experiment"].get("executor", {})
    if not isinstance(document, dict):
        raise DamagedFile(f"{out / 'experiment.json'} is damaged (executor is no mapping); {REMEDY}")
    for override in overrides:
        put(document, override)
    spec = ExecutorSpec().changed(**document | {name: value for name, value in values.items() if value is not None})
    spec.refuse_unknown(cell[kind] for kind in ("variant", "algorithm") for cell in grid)
    return spec


def remember(out: Path, spec: ExecutorSpec) -> None:
    """Keep how the runs of a results folder are to be carried out, until `offmap run` goes by the experiment again."""
    document = read_shaped(out / "experiment.json", EXPERIMENT)
    document["experiment"]["executor"] = spec.model_dump(mode="json")
    keep_json(out / "experiment.json", document)


def left_to_do(out: Path, folders: Sequence[Path], with_failed: bool = True) -> tuple[list[Path], list[Path]]:
    """Training folders with work left that nobody is working on, and those that somebody is, or a job is going to.

    Raises:
        UserError: a folder does not hold what its name says.
    """
    for folder in folders:
        refuse_altered(folder)
    left = [folder for folder in folders if pending(folder)]
    return _free_and_taken(left, Cluster(out), with_failed) if left else ([], [])


def _free_and_taken(
    folders: Iterable[Path], cluster: Cluster, with_failed: bool = True
) -> tuple[list[Path], list[Path]]:
    """Training folders with work left, divided as `left_to_do` divides them."""
    free, taken = [], []
    for folder in folders:
        fields = read_status(folder)
        state = cluster.judge(folder.name, fields)["state"]
        if state == "running" or owner(folder) is not None or _has_job(cluster, folder, fields):
            taken.append(folder)
        elif with_failed or state != "failed":
            free.append(folder)
    return free, taken


def _has_job(cluster: Cluster, folder: Path, fields: Mapping[str, Any]) -> bool:
    """Whether a job works on a training folder, or is going to by itself."""
    return cluster.has(folder.name, dict(fields)) and not cluster.is_held(folder.name)


def requests_of(cells: Iterable[Mapping[str, Any]], spec: ExecutorSpec) -> dict[str, Request]:
    """What each training asks for, by its folder's name; `cells` as `cells.json` declares them.

    Raises:
        UserError: two variants that share a training ask for different things.
    """
    names: dict[str, list[str]] = {}
    for cell in cells:
        if cell["training"] is not None:
            called = cell["variant"] if cell["variant"] in spec.variants else cell["algorithm"]
            names.setdefault(cell["training"], []).append(called)
    return {training: spec.request(called) for training, called in names.items()}


def submit_runs(
    out: Path, folders: Sequence[Path], spec: ExecutorSpec, say: Callable[[str], None] = lambda words: None
) -> list[Submission]:
    """Submit prepared training folders of `out` to Slurm, those that no job has yet; `say` hears of each array.

    Raises:
        UserError: somebody else is submitting at this moment, Slurm refuses or does not answer, or the code has
            changes that it must not.
    """
    require_slurm()
    with changing(out):  # of two who resume at once, the second finds the jobs of the first
        cluster = Cluster(out)
        if cluster.queue is None:
            raise UserError(
                "squeue does not answer, so it cannot be told which runs have a job already; nothing was submitted: "
                "try again in a moment"
            )
        free, _ = _free_and_taken(filter(pending, folders), cluster)
        if not free:
            return []
        held = {cluster.jobs[folder.name].name for folder in free if cluster.is_held(folder.name)}
        if held:  # a job that somebody releases later would be a second one for its runs
            cancel_jobs(sorted(held))
        requests = requests_of(read_grid(out), spec)
        if any(not pending(out / name) for name in requests):  # a canary has been where the others are to go
            spec = spec.changed(canary=False)
        made = make_arrays({folder.name: requests[folder.name] for folder in free}, spec, largest_array())
        return submit(out, made, spec, launched_code(out, spec.code, modules=_plugin_modules(free)), say)


def _plugin_modules(folders: Iterable[Path]) -> list[str]:
    """The modules that training folders need of installed plugins."""
    documents = (read_shaped(folder / "execution.json", EXECUTION) for folder in folders)
    return sorted({name for document in documents for name in document.get("plugins", ()) if "/" not in name})


def carry_out(
    out: Path, folders: Sequence[Path], spec: ExecutorSpec, on_tick: Tick, taken: Sequence[Path] = ()
) -> list[Outcome]:
    """How each of some prepared training folders of `out` ended, those submitted to Slurm after the last of them.

    `taken` are worked on elsewhere. They are waited for, as are those that somebody else turns out to be faster with,
    and what is left of them when nobody works on them any more is done here.

    Raises:
        Interrupted: somebody does not want to wait; jobs of a cluster go on.
    """
    if spec.kind == "slurm":
        return follow(out, [*folders, *taken], on_tick)
    outcomes: list[Outcome] = []
    elsewhere = list(taken)
    free = list(folders)

    def tick(pool: Pool) -> None:
        lost = tuple(outcome.folder for outcome in pool.outcomes if outcome.code == TAKEN)
        mine = tuple(outcome for outcome in pool.outcomes if outcome.code != TAKEN)
        on_tick(Pool(pool.waiting, pool.running, (*outcomes, *mine), (*elsewhere, *lost)))

    while free or elsewhere:
        if spec.kind == "inline":
            ended = run_inline(free, tick)
        else:
            ended = run_local(free, spec.workers or available_cores(), tick)
        outcomes += [outcome for outcome in ended if outcome.code != TAKEN]
        elsewhere += [outcome.folder for outcome in ended if outcome.code == TAKEN]
        free = _wait_for_others(out, elsewhere, outcomes, on_tick)
    return outcomes


def _wait_for_others(out: Path, elsewhere: list[Path], outcomes: list[Outcome], on_tick: Tick) -> list[Path]:
    """Folders of `elsewhere` that somebody has left unfinished, once there are any, or none once all have ended.

    Those are taken out of `elsewhere`, and so are the ones that ended, whose ends are added to `outcomes`.

    Raises:
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; the others go on.
    """
    with interruptible():
        while elsewhere:
            left = [folder for folder in elsewhere if pending(folder)]
            cluster = Cluster(out)
            free, _ = _free_and_taken(left, cluster)
            failed = [folder for folder in free if read_status(folder)["state"] == "failed"]
            outcomes += [Outcome(folder, 0) for folder in elsewhere if folder not in left]
            outcomes += [Outcome(folder, 1) for folder in failed]
            elsewhere[:] = [folder for folder in left if folder not in free]
            on_tick(Pool((), (), tuple(outcomes), tuple(elsewhere)))
            if unfinished := [folder for folder in free if folder not in failed]:
                return unfinished
            if elsewhere:
                has_jobs = any(folder.name in cluster.jobs for folder in elsewhere)
                time.sleep(FOLLOW_SECONDS if has_jobs else WATCH_SECONDS)
    return []


def follow(out: Path, folders: Sequence[Path], on_tick: Tick) -> list[Outcome]:
    """How submitted runs ended, once all of them have.

    Raises:
        Interrupted: Ctrl-C; the jobs go on.
    """
    outcomes: dict[Path, Outcome] = {}
    before: set[Path] = set()
    try:
        while len(outcomes) < len(folders):
            cluster = Cluster(out)
            states = {folder: cluster.judge(folder.name, read_status(folder))["state"] for folder in folders}
            ended = {
                folder
                for folder, state in states.items()
                if state == "done" or (state not in ACTIVE and cluster.queue is not None)
            }
            for folder in folders:
                if folder in ended & before and folder not in outcomes:  # a job between two states has not ended
                    outcomes[folder] = Outcome(folder, int(states[folder] != "done"))
            before = ended
            running = tuple(folder for folder, state in states.items() if state == "running")
            waiting = tuple(folder for folder in folders if folder not in running and folder not in outcomes)
            on_tick(Pool(waiting, running, tuple(outcomes.values())))
            if len(outcomes) < len(folders):
                time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        raise Interrupted from None
    return list(outcomes.values())
