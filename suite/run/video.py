"""A film of a finished run: an episode before its agent adapts to a task, and the same one after, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Before anything that imports MuJoCo, which then knows how to draw.
from tasks.environments.rendering import RenderingUnavailable

from algorithms.base import Agent  # isort: skip
from algorithms.registry import get_algorithm
from suite.errors import UserError
from suite.experiment.specs import MetatestSpec
from suite.run.agents import HOW_IT_ADAPTS, Metatest, agent_of, find_metatest, load_training, use_plugins_of
from suite.run.metatest import Meters, Trial, adaptation_transitions, run_trial, trial_of
from suite.run.rollout import EVALUATION, Meter, Watch, collect
from tasks.pictures.video import Episode, encoder, frames, require_writable, task_words, write_film
from tasks.registry import get_family, make_batch
from tasks.spec import Task, TaskFamily


def film(run: Path, task_list: str, task: int, updates: int | None = None, out: Path | None = None) -> Path:
    """The path of a film of an episode before and after adaptation, MP4 where an encoder is here, else GIF.

    Args:
        run: A training's folder, or a meta-test's.
        task_list: A list of the split.
        task: Which of its tasks.
        updates: A cap on the adaptation; by default the run's.
        out: What to write; by default in `run/videos`.

    Raises:
        UserError: `run` is no run that has been trained, holds several to choose from, there is no such task, or
            `out` cannot be written here.
        RenderingUnavailable: OpenGL does not work here, or the family does not say what it looks like.
    """
    metatest = find_metatest(run, agree_in=(*HOW_IT_ADAPTS, "split", "protocol"))
    use_plugins_of(metatest)
    spec = metatest.spec
    family, chosen = get_family(spec.split.family), _task(spec, task_list, task)
    path = out or run / "videos" / f"{task_list}-{task}{'.mp4' if encoder() else '.gif'}"
    require_writable(path)
    trial = trial_of(spec, family, task_list, (chosen,))
    _require_drawing(trial)
    where = f"{spec.split.full_name}, task {task} of {task_list}: {task_words(family, chosen.values)}"
    title = f"{get_algorithm(spec.algorithm).title} on {where}"
    images = list(frames(before_and_after(metatest, trial, updates), title, family.dt))
    return write_film(images, family.dt, path)


def before_and_after(metatest: Metatest, trial: Trial, updates: int | None = None) -> tuple[Episode, Episode]:
    """The first evaluation episode of a trial in one task, before any adaptation data and after the last update."""
    spec, training = metatest.spec, load_training(metatest, "cpu")
    agent = agent_of(training, spec, trial.agent_seed)
    agent.begin(1)
    if trial.revealed:
        agent.reveal(trial.values)
    before = _episode(trial, agent, "before adaptation")
    agent = agent_of(training, spec, trial.agent_seed)
    cap = spec.protocol.max_updates if updates is None else updates
    protocol = spec.protocol.model_copy(update={"max_updates": cap, "evaluation_episodes": 1})
    transitions = adaptation_transitions(spec)
    rows, _ = run_trial(trial, agent, protocol, transitions, Meters(Meter(), Meter()))
    done = rows[-1]["update"]
    words = f", {done:,} update{'s' if done > 1 else ''}" if done else ""
    return before, _episode(trial, agent, f"after {transitions:,} steps{words}")


def _episode(trial: Trial, agent: Agent, name: str) -> Episode:
    """An episode as the meta-test evaluates it, with an image of every step."""
    environment: Any = make_batch(trial.family, 1)
    environment.set_tasks(trial.values)
    fork, images = agent.fork(1), []

    def act(observations: Any) -> Any:
        images.append(_image(environment))
        return fork.act(observations, explore=False)

    watch = Watch(after_step=fork.observe) if agent.adapts_online else Watch()
    batch = collect(environment, act, lambda *_: trial.generator(EVALUATION, 0, 0), Meter(), transitions=None,
                    watch=watch)  # fmt: skip
    images.append(_image(environment))
    return Episode(name, images, batch.rewards[0, : batch.lengths[0]])


def _image(environment: Any) -> Any:
    """What a batch's only row looks like now, with its goal where it is a place, (height, width, 3) bytes."""
    return (environment.image_with_goal if hasattr(environment, "image_with_goal") else environment.image)(0)


def _task(spec: MetatestSpec, task_list: str, task: int) -> Task:
    if task_list not in spec.split.lists:
        raise UserError(f"{spec.split.full_name} has no list {task_list!r}; it has {', '.join(spec.split.lists)}")
    tasks = spec.split.tasks(task_list)
    if task >= len(tasks):
        raise UserError(
            f"{spec.split.full_name} has {len(tasks)} tasks in {task_list}, 0 to {len(tasks) - 1}: no {task}"
        )
    return tasks[task]


def _require_drawing(trial: Trial) -> None:
    """Draw a little now, so that what is missing is said before the adaptation rather than after it."""
    family: TaskFamily = trial.family
    environment: Any = make_batch(family, 1)
    if not hasattr(environment, "image"):
        raise RenderingUnavailable(f"{family.name} does not say what it looks like: its class needs an `image(row)`")
    environment.set_tasks(trial.values)
    environment.reset([0], [trial.generator(EVALUATION, 0, 0)])
    _image(environment)
