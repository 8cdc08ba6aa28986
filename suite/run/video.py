"""A film of a finished run: its agent adapts to one task as in the meta-test, and one episode of it is drawn."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

# Before anything that imports MuJoCo, which then knows how to draw.
from tasks.pictures.video import record_video, roll_out

from suite.errors import UserError  # isort: skip
from suite.experiment.specs import MetatestSpec
from suite.run.agents import HOW_IT_ADAPTS, agent_of, find_metatest, load_training, use_plugins_of
from suite.run.metatest import Meters, adaptation_transitions, run_trial, trial_of
from suite.run.rollout import Meter
from tasks.registry import get_family
from tasks.spec import Task, TaskFamily


def film(run: Path, task_list: str, task: int, updates: int | None = None, out: Path | None = None) -> Path:
    """The path of an animated GIF of one episode after adaptation; `updates` caps the adaptation.

    Raises:
        UserError: `run` is no run that has been trained, holds several to choose from, or there is no such task.
        RenderingUnavailable: OpenGL does not work here, or the family has no body to film.
    """
    metatest = find_metatest(run, agree_in=(*HOW_IT_ADAPTS, "split", "protocol"))
    use_plugins_of(metatest)
    spec = metatest.spec
    family, chosen = get_family(spec.split.family), _task(spec, task_list, task)
    path = out or run / "videos" / f"{task_list}-{task}.gif"
    if path.suffix != ".gif":
        raise UserError(f"films are written as .gif, {path.name} was asked for")
    _require_drawing(family, chosen)
    training = load_training(metatest, "cpu")
    trial = trial_of(spec, family, task_list, (chosen,))
    agent = agent_of(training, spec, trial.agent_seed)
    cap = spec.protocol.max_updates if updates is None else updates
    protocol = spec.protocol.model_copy(update={"max_updates": cap, "evaluation_episodes": 1})
    run_trial(trial, agent, protocol, adaptation_transitions(spec), Meters(Meter(), Meter()))
    fork = agent.fork(1)
    positions = roll_out(family, chosen.values, lambda observations: fork.act(observations, explore=False))
    return record_video(family, positions, path)


def _task(spec: MetatestSpec, task_list: str, task: int) -> Task:
    names = [name for name in ("train", "test", "test_id", *spec.split.extra) if spec.split.tasks(name)]
    if task_list not in names:
        raise UserError(f"{spec.split.full_name} has no list {task_list!r}; it has {', '.join(names)}")
    tasks = spec.split.tasks(task_list)
    if task >= len(tasks):
        raise UserError(
            f"{spec.split.full_name} has {len(tasks)} tasks in {task_list}, 0 to {len(tasks) - 1}: no {task}"
        )
    return tasks[task]


def _require_drawing(family: TaskFamily, task: Task) -> None:
    """Draw a little now, so that what is missing is said before the adaptation rather than after it."""
    positions = roll_out(family, task.values, lambda observations: np.zeros((1, family.action_dim), np.float32))
    with tempfile.TemporaryDirectory() as scratch:
        record_video(family, positions[:1], Path(scratch) / "probe.gif")
