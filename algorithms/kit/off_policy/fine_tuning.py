"""Fine-tuning of SAC learners in test tasks, one learner per task, and a rule that ends it by adaptation data alone.

What the learners are fed (relabeled, stored or real experience) is an `Experience`; nothing here knows where it comes
from, so that algorithms which differ in that alone share updates and stop rule.

The rule judges by the Bellman error on transitions of the test task that were held out of every batch. Li, Kumar,
Kostrikov, Levine, "Efficient Deep Reinforcement Learning Requires Regulating Overfitting", 2023, show on online
tasks that this validation error is what tells whether learning from few data goes wrong, and select by it; to end
fine-tuning by it is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.kit.networks import Parameters, frozen
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from algorithms.kit.trial_data import rows_of
from tasks.frozen import Frozen

NOISE_SEED = (
    0  # of the actions in the judged targets: the same at every look, so that two looks differ by weights alone
)


class Learners(Protocol):
    """Soft actor-critic learners side by side, such as `SoftActorCritic.copies` gives."""

    policy: Parameters

    def update(self, batch: Transitions, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of every learner on a batch (learner, row, ...); losses, (learner,)."""

    def sample_one(self, learner: int, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (1, row, action) of one learner's policy."""

    def bellman_error(self, batch: Transitions, generator: torch.Generator) -> Tensor:
        """The critics' loss on a batch (learner, row, ...), (learner,)."""


class Experience(Protocol):
    """What fine-tuning learns from."""

    def batch(self, learners: Learners, generator: torch.Generator) -> Transitions:
        """A batch (learner, row, ...), embeddings appended to both observations."""


class StoredAsItWas(NamedTuple):
    """Batches of `number` transitions per test task: `num_real` of its own, the rest stored ones of training tasks.

    view: what is stored, by training task, of which all have some; they are drawn uniformly, and what is stored stays
    as it was. real: adaptation data (task, row, ...).
    """

    store: EpisodeStore
    view: TaskIndex
    real: Transitions
    num_real: int
    number: int

    def batch(self, learners: Learners, generator: torch.Generator) -> Transitions:
        """A batch (task, row, ...), real rows first."""
        del learners  # what is stored depends on no policy
        num_tasks, available = self.real.rewards.shape
        chosen = torch.rand((num_tasks, self.num_real), generator=generator, device=generator.device)
        own = rows_of(self.real, (chosen * available).long())
        shape = (num_tasks, self.number - self.num_real)
        tasks = torch.randint(len(self.view.counts), shape, generator=generator, device=generator.device)
        slots = self.view.sample(tasks.flatten().cpu().numpy(), 1, generator)
        stored = self.store.gather(slots.reshape(shape))
        return Transitions(*(torch.cat(pair, dim=1) for pair in zip(own, stored)))


class StopSettings(Frozen):
    """When a test task's fine-tuning ends before its last update."""

    stop_patience: PositiveInt | None = Field(
        default=None, description="end fine-tuning after so many updates without a lower Bellman error on the held-out "
        "adaptation data, which it then does not learn from, and keep the policy of the lowest (ours). None: never "
        "(code)")  # fmt: skip
    stop_interval: PositiveInt = Field(default=100, description="updates between two looks at that error (ours)")

    def rule(self, held_out: Transitions) -> StopRule | None:
        """The rule, judging by `held_out` (learner, row, ...), embeddings appended; None: there is none."""
        return None if self.stop_patience is None else StopRule(self.stop_patience, self.stop_interval, held_out)


class StopRule(NamedTuple):
    """End a task's fine-tuning after `patience` updates without a lower Bellman error on `held_out`.

    The error is looked at before the first update and after every `interval` of them. held_out: real transitions of
    the test tasks, (learner, row, ...), embeddings appended, that no batch of the fine-tuning holds.
    """

    patience: int
    interval: int
    held_out: Transitions


class FineTuning:
    """SAC learners, one per test task, that continue on an experience until told to stop.

    With a rule, the policy of a task is the one that had the lowest error so far, the one it began with included.
    """

    def __init__(self, learners: Learners, experience: Experience, stop: StopRule | None = None) -> None:
        self.learners = learners
        self.experience = experience
        self.stop = stop
        self.updates = 0
        self.losses: dict[str, Tensor] = {}
        if stop is not None:
            self._best = [parameter.detach().clone() for parameter in learners.policy]
            self._least = self._error(stop)
            self._least_at = torch.zeros_like(self._least)
            self._ended = torch.zeros_like(self._least, dtype=torch.bool)
        self._all_ended = False

    @property
    def policy(self) -> Parameters:
        """The policies to act with, an ensemble over tasks."""
        return frozen(self.learners.policy) if self.stop is None else self._best

    def run_to(self, updates: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Go on until `updates` have been made, or every task has ended; diagnostics, each (learner,).

        These are the last update's losses and, with a rule, `held_out_bellman_error`, the lowest so far, and
        `policy_update`, after how many updates the policy to act with was that.
        """
        while self.updates < updates and not self._all_ended:
            self.losses = self.learners.update(self.experience.batch(self.learners, generator), generator)
            self.updates += 1
            if self.stop is not None and self.updates % self.stop.interval == 0:
                self._look(self.stop)
        if self.stop is None:
            return self.losses
        return {**self.losses, "held_out_bellman_error": self._least, "policy_update": self._least_at}

    def _error(self, stop: StopRule) -> Tensor:
        noise = torch.Generator(stop.held_out.rewards.device).manual_seed(NOISE_SEED)
        return self.learners.bellman_error(stop.held_out, noise)

    def _look(self, stop: StopRule) -> None:
        """Keep the policies that are better than before, and end the tasks whose patience is over."""
        error = self._error(stop)
        is_better = (error < self._least) & ~self._ended
        self._least = torch.where(is_better, error, self._least)
        self._least_at[is_better] = float(self.updates)
        for best, parameter in zip(self._best, self.learners.policy):
            best[is_better] = parameter.detach()[is_better]
        self._ended |= self.updates - self._least_at >= stop.patience
        self._all_ended = bool(self._ended.all())


def fine_tuned(
    tuning: FineTuning, policy: Parameters, tasks: Tensor, points: Sequence[int], generator: torch.Generator
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Run a fine-tuning of some tasks of a trial, and put their policies into `policy` at each of `points`.

    policy: an ensemble over all tasks of the trial, changed in place; tasks: the task of each learner. Yields the
    updates made and diagnostics (task,), NaN in the other tasks.
    """
    nothing = torch.full((len(policy[0]),), float("nan"), device=tasks.device)
    for point in points:
        measured = tuning.run_to(point, generator)
        for parameter, tuned in zip(policy, tuning.policy):
            parameter[tasks] = tuned
        yield point, {name: nothing.index_copy(0, tasks, value) for name, value in measured.items()}
