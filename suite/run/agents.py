"""Agents of finished runs: the one that a folder stands for, and the agent itself, back from its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError

from algorithms.base import Agent
from algorithms.registry import get_algorithm, training_entry
from suite.errors import UserError, shortened
from suite.experiment.plugins import use_installed_plugins, use_kept_plugins
from suite.experiment.presets import validated
from suite.experiment.specs import MetatestSpec
from suite.results.json_files import read_finite, read_json
from suite.results.layout import metatest_folders
from suite.results.shapes import EXECUTION, read_shaped
from suite.run.memory_bounds import bounded_memory, stored_elements
from suite.run.promises import require_agent
from suite.run.stored_specs import read_training_spec
from suite.run.training import Training, open_at_budget
from tasks.spec import fingerprint

HOW_IT_ADAPTS = ("algorithm", "config")
"""Fields of a meta-test's specification in which two agents of one training differ, if they differ."""

SPARE_ELEMENTS = 50_000_000
"""Of tensors, beyond what is stored, that a training may make when it is loaded: 200 MB of float32."""

NOT_A_TRAINING = (
    ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, SafetensorError, StopIteration,
    TypeError, ValueError,
)  # fmt: skip
"""What building a learner and reading its state raise where the files do not belong together."""

LISTED = 6  # choices that a refusal names


class Metatest(NamedTuple):
    """A meta-test, and with it an agent: what is adapted how, and where it is tested."""

    folder: Path
    spec: MetatestSpec

    @property
    def training_folder(self) -> Path:
        """The folder of the training whose agent is tested."""
        return self.folder.parent.parent

    def __str__(self) -> str:
        """Its name for those who have to choose, and its folder."""
        try:
            variant = read_json(self.folder / "label.json")["variant"]
        except (OSError, ValueError, KeyError, TypeError):
            variant = self.spec.algorithm
        return f"{variant} on {self.spec.split.full_name} at {self.spec.env_steps:,} env steps: {self.folder}"


def load_agent(run_dir: str | Path, num_tasks: int = 1, device: str = "cpu", seed: int = 0) -> Agent:
    """The meta-trained agent of a run, begun in `num_tasks` tasks, ready to act, observe and adapt.

    `run_dir` is a meta-test folder, or a training folder, whose meta-test of the largest budget then says how its
    agent adapts. An oracle acts once it has been told its tasks, by `agent.reveal(values)`.

    Raises:
        UserError: the folder is no run, is damaged, is not trained to the end yet, or holds two agents that adapt
            differently.
    """
    metatest = find_metatest(Path(run_dir))
    training = load_training(metatest, device)
    agent = agent_of(training, metatest.spec, seed)
    agent.trained_on = metatest.spec.split.family
    agent.begin(num_tasks)
    return agent


def use_plugins_of(metatest: Metatest) -> None:
    """Have the plugins be in use that a run's algorithm and family are from: its code is run, so trust its folder.

    Raises:
        UserError: one is not there any more, or does not work.
    """
    use_installed_plugins()
    folder = metatest.training_folder
    try:
        kept = read_shaped(folder / "execution.json", EXECUTION).get("plugins", [])
    except FileNotFoundError:
        return
    use_kept_plugins(kept, folder.parent)


def load_training(metatest: Metatest, device: str) -> Training:
    """The training whose agent a meta-test tests, from a folder that may hold anything.

    Its configuration is checked before anything is built, and what is built takes no more memory than what is stored
    gives reason to.

    Raises:
        UserError: the training is not there, or is not what its files say.
    """
    folder, spec = metatest.training_folder, metatest.spec
    use_plugins_of(metatest)
    try:
        config = read_training_spec(folder)
        entry, tested = training_entry(config.algorithm), get_algorithm(spec.algorithm)
        if tested.training != entry.training:
            raise UserError(f"{metatest.folder} tests {tested.name}, and {folder} is a training of {entry.training}")
        validated(entry.load("train"), config.config, f"{folder / 'config.json'}: config")
        validated(tested.load("adapt"), spec.config, f"{metatest.folder / 'config.json'}: config")
        with bounded_memory(folder, SPARE_ELEMENTS + 4 * stored_elements(folder)):
            return open_at_budget(folder, spec.env_steps, device)
    except UserError:
        raise
    except NOT_A_TRAINING as error:
        raise UserError(
            f"{folder} does not hold the training that it says ({type(error).__name__}: {shortened(str(error), 300)}): "
            "its files were changed, or made by another version; put a whole copy back, or give another --out to train "
            "anew"
        ) from error


def agent_of(training: Training, spec: MetatestSpec, seed: int) -> Agent:
    """A fresh agent of a training that adapts as a meta-test of it says; `seed` is of the agent's own draws."""
    config = get_algorithm(spec.algorithm).load("adapt").model_validate(spec.config)
    return require_agent(training.algorithm.agent(config, seed), training.algorithm)


def find_metatest(folder: Path, agree_in: Sequence[str] = HOW_IT_ADAPTS) -> Metatest:
    """The meta-test that a folder stands for: its own, or of those of a training the one of the largest budget.

    Where several are of that budget, as where algorithms share a training, or splits a training list, they have to
    agree in the fields `agree_in` of their specifications; the first of them is returned.

    Raises:
        UserError: the folder is neither, or it holds meta-tests that do not agree; the message lists the choices.
    """
    if folder.parent.name == "metatests" and (folder / "config.json").exists():
        return _read(folder)
    metatests = [_read(below) for below in metatest_folders(folder)]
    if not metatests:
        runs = sorted(str(path.parent) for path in folder.glob("*/config.json"))
        hint = f"its runs are{_listed(runs)}" if runs else "give the folder of a training or of a meta-test"
        raise UserError(f"{folder} is no run folder: it holds no meta-test; {hint}")
    largest = max(metatest.spec.env_steps for metatest in metatests)
    final = [metatest for metatest in metatests if metatest.spec.env_steps == largest]
    differing = [field for field in agree_in if len({_identity(metatest, [field]) for metatest in final}) > 1]
    if differing:
        choices = {_identity(metatest, differing): str(metatest) for metatest in final}
        raise UserError(
            f"{folder} holds meta-tests that differ in {' and '.join(differing)}; give the folder of one of them:"
            f"{_listed(list(choices.values()))}"
        )
    return final[0]


def _identity(metatest: Metatest, fields: Sequence[str]) -> str:
    return fingerprint(metatest.spec.model_dump(mode="json", include=set(fields)))


def _listed(choices: Sequence[str]) -> str:
    """Choices, each on a line of its own; of many the first, and how many there are besides."""
    more = [f"and {len(choices) - LISTED} more"] if len(choices) > LISTED else []
    return "".join(f"\n  {choice}" for choice in (*choices[:LISTED], *more))


def _read(folder: Path) -> Metatest:
    try:
        return Metatest(folder, MetatestSpec.model_validate(read_finite(folder / "config.json")))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} does not describe a meta-test: {error}") from None
