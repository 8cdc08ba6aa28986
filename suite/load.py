"""A finished agent, back from its run folder, in three lines of Python."""

from __future__ import annotations

from pathlib import Path

from algorithms.base import Agent
from algorithms.registry import get_algorithm
from suite.errors import UserError
from suite.files import read_json
from suite.specs import MetatestSpec
from suite.training import checkpoint_for, open_training


def load_agent(run_dir: str | Path, num_tasks: int = 1, device: str = "cpu", seed: int = 0) -> Agent:
    """The meta-trained agent of a run, begun in `num_tasks` tasks, ready to act, observe and adapt.

    `run_dir` is a meta-test folder, or a training folder, whose newest meta-test then says how it adapts.

    Raises:
        UserError: the folder is no run, or holds no checkpoint yet.
    """
    folder = Path(run_dir)
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} is no run folder: it has no config.json")
    if (folder / "metatests").is_dir():
        tests = sorted(folder.glob("metatests/*/config.json"), key=lambda path: read_json(path)["env_steps"])
        if not tests:
            raise UserError(f"{folder} declares no meta-test, so it is not said how its agent adapts")
        folder = tests[-1].parent
    spec = MetatestSpec.model_validate(read_json(folder / "config.json"))
    training_folder = folder.parent.parent
    name = checkpoint_for(training_folder, spec.env_steps)
    if name is None:
        raise UserError(f"{training_folder} has no checkpoint within {spec.env_steps} env steps; run it first")
    training = open_training(training_folder, device, int(name), name)
    config = get_algorithm(spec.algorithm).load("adapt").model_validate(spec.config)
    agent = training.algorithm.agent(config, seed)
    agent.begin(num_tasks)
    return agent
