"""A finished agent, back from its run folder, in three lines of Python."""

from __future__ import annotations

import json
from pathlib import Path

from algorithms.base import Agent
from algorithms.registry import get_algorithm
from suite.errors import UserError
from suite.experiment.specs import MetatestSpec
from suite.results.json_files import read_json
from suite.results.layout import metatest_folders
from suite.run.training import checkpoint_for, open_training


def load_agent(run_dir: str | Path, num_tasks: int = 1, device: str = "cpu", seed: int = 0) -> Agent:
    """The meta-trained agent of a run, begun in `num_tasks` tasks, ready to act, observe and adapt.

    `run_dir` is a meta-test folder, or a training folder, whose meta-test of the largest budget then says how its
    agent adapts. An oracle acts once it has been told its tasks, by `agent.reveal(values)`.

    Raises:
        UserError: the folder is no run, holds no checkpoint yet, or two agents that adapt differently.
    """
    spec, training_folder = _metatest(Path(run_dir))
    name = checkpoint_for(training_folder, spec.env_steps)
    if name is None:
        raise UserError(f"{training_folder} has no checkpoint within {spec.env_steps} env steps; run it first")
    training = open_training(training_folder, device, int(name), name)
    config = get_algorithm(spec.algorithm).load("adapt").model_validate(spec.config)
    agent = training.algorithm.agent(config, seed)
    agent.begin(num_tasks)
    return agent


def _metatest(folder: Path) -> tuple[MetatestSpec, Path]:
    """What says how the agent adapts, and the folder of its training."""
    if folder.parent.name == "metatests" and (folder / "config.json").exists():
        return _read(folder), folder.parent.parent
    below = metatest_folders(folder)
    if not below:
        runs = sorted(str(path.parent) for path in folder.glob("*/config.json"))
        hint = f"its runs are {', '.join(runs[:4])}" if runs else "give the folder of a training or of a meta-test"
        raise UserError(f"{folder} is no run folder: it holds no meta-test; {hint}")
    specs = {path: _read(path) for path in below}
    largest = max(spec.env_steps for spec in specs.values())
    choices = {path: spec for path, spec in specs.items() if spec.env_steps == largest}
    ways = {json.dumps([spec.algorithm, spec.config], sort_keys=True): path for path, spec in choices.items()}
    if len(ways) > 1:
        named = ", ".join(f"{specs[path].algorithm} in {path}" for path in ways.values())
        raise UserError(f"{folder} holds agents that adapt differently; give the folder of one of them: {named}")
    return next(iter(choices.values())), folder


def _read(folder: Path) -> MetatestSpec:
    try:
        return MetatestSpec.model_validate(read_json(folder / "config.json"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} does not describe a meta-test: {error}") from None
