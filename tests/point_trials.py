"""Trainings and trials on the point's shifted split, for learning tests; all values are those of experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from algorithms.base import Agent, Algorithm
from algorithms.registry import get_algorithm
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import Cell, expand
from suite.experiment.specs import MetatestSpec
from suite.results.json_files import write_json
from suite.run.metatest import Meters, Trial, run_trial
from suite.run.rollout import Meter
from suite.run.training import open_training, train
from tasks.registry import get_family, get_split

SPLIT = get_split("point-goal.ood")

Change = Callable[[Agent], None]


class Silent:
    """A status that nobody reads."""

    def __getattr__(self, name):
        return lambda *arguments, **keywords: None


def cell_of(name: str, env_steps: int, **choice: Any) -> Cell:
    """The cell of an algorithm, as an experiment of nothing else expands to."""
    declared = {"name": name, **choice}
    experiment = {"name": "learning", "splits": [SPLIT.full_name], "algorithms": [declared]}
    (cell,) = expand(Experiment.model_validate(experiment | {"budget": {"env_steps": env_steps}}))
    return cell


def trained(cell: Cell, folder: Path) -> Algorithm:
    """The algorithm of a cell at the end of its training."""
    write_json(folder / "config.json", cell.training.model_dump(mode="json"))
    train(folder, cell.execution, Silent())
    newest = max(path.name for path in (folder / "checkpoints").iterdir())
    return open_training(folder, "cpu", cell.execution.env_steps, newest).algorithm


def trial_in(list_name: str, trial_hash: str = "ab" * 6) -> Trial:
    """A trial in all tasks of a list; its hash decides all noise."""
    return Trial(get_family(SPLIT.family), list_name, SPLIT.tasks(list_name), trial_hash)


def trial_rows(
    algorithm: Algorithm, metatest: MetatestSpec, trial: Trial, change: Change | None = None
) -> pd.DataFrame:
    """The records of a trial of an agent that adapts as a meta-test says, and was changed before it begins."""
    config = get_algorithm(metatest.algorithm).load("adapt").model_validate(metatest.config)
    agent = algorithm.agent(config, trial.agent_seed)
    if change is not None:
        change(agent)
    return pd.DataFrame(run_trial(trial, agent, metatest.protocol, 40, Meters(Meter(), Meter()))[0])


def by_phase(rows: pd.DataFrame) -> dict[str, float]:
    """Mean returns before and after adaptation."""
    return {phase: rows[rows.phase == phase]["return"].mean() for phase in ("before", "after")}


def after_each_point(change: Change) -> Change:
    """A change that is made of an agent at every point of its adaptation."""

    def changing(agent):
        adapt = agent.adapt

        def changed(every, limit=None):
            for point in adapt(every, limit):
                change(agent)
                yield point

        agent.adapt = changed

    return changing


def before_adapting(change: Change) -> Change:
    """A change that is made of an agent when it has its data and begins to adapt."""

    def changing(agent):
        adapt = agent.adapt

        def changed(every, limit=None):
            change(agent)
            return adapt(every, limit)

        agent.adapt = changed

    return changing
