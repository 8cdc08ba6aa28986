"""The rows of policies that were made elsewhere: how they are called, what is declared of them, and how they adapt.

A policy comes with what its author declares: the environment steps that it was trained for. It is scored as it is
(`policy`), or fine-tuned on the adaptation data of every task (`policy-finetuned`), if it offers `adapt(data)`. `offmap
score` alone makes such runs, so that they stand in no list of algorithms.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeInt, model_validator

from algorithms.base import Adaptation, AdaptConfig, Agent, Algorithm, Before, TrainConfig, Transition
from algorithms.elsewhere.files import FOLDERS, digest_of, holds
from algorithms.elsewhere.loading import Policy, load_policy, mend
from algorithms.kit.state import Part
from algorithms.registry import AlgorithmEntry
from algorithms.simple import OneByOne, SimpleAdapt, SimpleAgent, TaskData
from tasks.errors import UserError, in_words

POLICIES = (
    AlgorithmEntry(
        name="policy", algorithm="Elsewhere", train="PolicyTrain", adapt="PolicyAdapt",
        summary="a policy from elsewhere, which adapts to nothing",
        source="its author",
    ),
    AlgorithmEntry(
        name="policy-finetuned", training="policy", algorithm="Elsewhere", train="PolicyTrain", adapt="FinetuneAdapt",
        summary="a policy from elsewhere, fine-tuned on the adaptation data of every task",
        source="its author",
    ),
)  # fmt: skip


class PolicyTrain(TrainConfig):
    """What is declared of a policy that was trained elsewhere, and what its files hold."""

    of_seed: ClassVar[tuple[str, ...]] = ("policy", "files")

    precision: Literal["fp32"] = Field(default="fp32", description="nothing is trained; the same on every machine")
    policy: str = Field(max_length=300, description="its file, and behind a colon what in a file of Python it is")
    files: dict[str, str] = Field(min_length=1, description="SHA-256 of its file and of those that it reads, by name")
    env_steps: NonNegativeInt = Field(le=10**12, description="that it was trained for, as its author declares")

    @model_validator(mode="after")
    def _files_of_one_folder(self) -> Self:
        if any(Path(name).name != name for name in self.files) or self.policy.partition(":")[0] not in self.files:
            raise ValueError("`files` are names without a folder, and the policy's own is among them")
        return self

    def first_steps(self, num_tasks: int) -> int:
        """None: it has been trained."""
        del num_tasks
        return 0


class PolicyAdapt(AdaptConfig):
    """No adaptation."""


class FinetuneAdapt(SimpleAdapt):
    """Fine-tuned on the adaptation data, once, by the policy's own `adapt`; its updates are not counted."""

    @property
    def before(self) -> Before:
        """Nothing is known of the task yet."""
        return Before("unadapted", "the policy as it was trained elsewhere")


class Elsewhere(Algorithm):
    """A policy of which the training is over."""

    config: PolicyTrain

    def __init__(self, config: PolicyTrain, *arguments: Any, **named: Any) -> None:
        """Loads the policy.

        Raises:
            UserError: its files are not there, hold something else by now, or cannot be loaded.
        """
        super().__init__(config, *arguments, **named)
        folder = FOLDERS.get(digest_of(config.files))
        if folder is None or not holds(folder, config.files):
            raise UserError(
                f"policy {config.policy}: its files ({', '.join(config.files)}) are not in the results folder as they "
                "were when it was scored; score it again"
            )
        function = load_policy(config.policy, folder, self.source.spaces)
        path = folder / config.policy.partition(":")[0]
        self.policy = Policy(config.policy, function, self.source.spaces, path)
        self.steps_elsewhere = config.env_steps

    def steps_of_next_iteration(self) -> float:
        """Infinity: there is no next iteration."""
        return math.inf

    def iterate(self) -> dict[str, float]:
        """Never called by the suite.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a policy from elsewhere has nothing to train")

    def parts(self) -> dict[str, Part]:
        """Nothing but the generators that every algorithm has: the policy is in its files."""
        return {}

    def agent(self, config: AdaptConfig, seed: int) -> Agent:
        """An agent that acts by the policy, and adapts as it is configured to."""
        return agent_of_policy(self.policy, config, seed)


def agent_of_policy(policy: Policy, config: AdaptConfig, seed: int) -> Agent:
    """An agent that acts by a policy.

    Raises:
        UserError: it is to be fine-tuned, and offers no `adapt`.
    """
    if not isinstance(config, FinetuneAdapt):
        return PolicyAgent(policy)
    if not callable(getattr(policy.function, "adapt", None)):
        raise UserError(
            f"policy {policy.name} offers no `adapt(data)`, so that it cannot be fine-tuned: give a class with "
            "`__call__(observations)` and `adapt(data)`, or score it without"
        )
    return OneByOne(PolicyOfTask(policy), config, seed)


class PolicyAgent(Agent):
    """A function of observations as an agent that never adapts, and explores as it is evaluated."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def begin(self, num_tasks: int) -> None:
        """Nothing is kept per task."""

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """The policy's actions."""
        del explore
        return self.policy(observations)

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Ignore."""

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """One point, without updates."""
        yield Adaptation(0, {})

    def fork(self, episodes: int) -> PolicyAgent:
        """Itself."""
        return self


class PolicyOfTask(SimpleAgent):
    """A policy in one task; what is learnt of the task is a policy too, that of the task."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.spaces)
        self.untouched = policy

    def policy(self, observations: np.ndarray, state: Policy) -> np.ndarray:
        """The actions of the task's policy."""
        return state(observations)

    def adapt(self, data: TaskData) -> Policy:
        """What the policy makes of the data: what its `adapt` returns, or itself, changed, if that returns nothing.

        It is a copy that is asked, so that no task knows of another.

        Raises:
            UserError: it cannot be copied, fails, or returns what is no policy.
        """
        base = self.untouched
        if len(data.rewards) == 0:
            return base
        with in_words(f"policy {base.name}: a copy for every task cannot be made", base.path):
            own = copy.deepcopy(base.function)
        with in_words(f"policy {base.name}: adapt failed on {len(data.rewards)} transitions", base.path, mend):
            adapted = own.adapt(data)
        adapted = own if adapted is None else adapted
        if not callable(adapted):
            raise UserError(
                f"policy {base.name}: adapt returned {type(adapted).__name__}; it returns the policy of the task, a "
                "function of observations, or nothing if it has changed itself"
            )
        return Policy(f"{base.name} after adapt", adapted, base.spaces, base.path)

    def explore(self, observations: np.ndarray, state: Policy, generator: np.random.Generator) -> np.ndarray:
        """How data are collected: by `explore(observations, generator)` if the policy has that, or else as it acts."""
        own = getattr(state.function, "explore", None)
        if not callable(own):
            return state(observations)
        return state.checked(lambda: own(observations.copy(), generator), len(observations), ".explore")
