"""Experiments from Python: what `offmap run` does, for a notebook."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offmap.results import load_results
from suite.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from suite.experiment.declaration import Experiment


def experiment(
    declared: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    rerun: Sequence[str] = (),
) -> pd.DataFrame:
    """Run what an experiment declares and has not been run yet, on this machine; its results as of `load_results`.

    The same folder and the same call continue what was interrupted, and repeat nothing that is done; it is warned of
    results that were made by code that is another now.

    Args:
        declared: A YAML file, the name of a shipped experiment (`demo`), or the experiment as a mapping.
        out: The results folder; by default `runs/NAME`.
        overrides: Changes such as `budget.env_steps=50000`, as those of `--set`.
        workers: Runs at once; by default one per core.
        rerun: Variants whose results are set aside and made again.

    Raises:
        UserError: the experiment is not valid, or a run has failed; the message names the first.
    """
    from suite.executors.launch import carry_out, left_to_do
    from suite.executors.rerun import set_variants_aside
    from suite.experiment.expansion import trainings_of
    from suite.monitor.overview import refresh_cells
    from suite.results.code_changes import changes_in
    from suite.results.jobs import changing
    from suite.results.prepare import prepare

    planned = _declared(declared, overrides)
    spec = planned.executor.changed(kind="local", workers=workers)
    folder = Path(out) if out is not None else Path("runs") / planned.name
    if rerun:
        set_variants_aside(planned.name, folder, trainings_of(planned), rerun)
    folders = prepare(planned, folder)
    for sentence in changes_in(folder):
        warnings.warn(f"{sentence}; from Python `rerun=[...]` does", stacklevel=2)
    todo, taken = left_to_do(folder, folders)
    carry_out(folder, todo, spec, lambda pool: None, taken)
    with changing(folder):
        cells = refresh_cells(folder)
    failed = [cell for cell in cells if cell.state not in ("done", "unsupported")]
    if failed:
        cell = failed[0]
        raise UserError(
            f"{len(failed)} of {len(cells)} runs are not done; {cell.variant} on {cell.split}, seed {cell.seed}: "
            f"{cell.state}: {cell.reason or 'it does not say why'}; see {cell.folder}"
        )
    return load_results(folder)


def _declared(declared: str | Path | Mapping[str, Any], overrides: Sequence[str]) -> Experiment:
    from suite.experiment.declaration import checked_experiment, load_experiment

    if isinstance(declared, Mapping):
        return checked_experiment(copy.deepcopy(dict(declared)), "experiment", overrides)
    return load_experiment(Path(declared), overrides)
