"""Experience relabeling: continue SAC in a test task on other tasks' experience, relabeled by an adapted model.

Mendonca et al. 2020, section 4.3 and Algorithm 2. The relabeled distribution never holds a true reward of the test
task but for the few real adaptation transitions mixed in, nor any reward that was stored in meta-training. Written for
any SAC learner that is conditioned on an embedding, which need not be the model's context, not for MIER alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.kit.model_based.context_model import ContextModel
from algorithms.kit.networks import Parameters
from algorithms.kit.off_policy.fine_tuning import Learners
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from algorithms.kit.trial_data import rows_of
from tasks.frozen import Frozen

CHUNK = 5000  # transitions relabeled at once: bounds the memory of the model's activations


class RelabelSettings(Frozen):
    """How much is relabeled, how often, and what a fine-tuning batch holds."""

    relabel_updates: int = Field(default=20_000, ge=0, description="SAC updates per task (code; ant-direction 1000)")
    relabel_interval: PositiveInt = Field(
        default=500, description="SAC updates between relabelings (code 500, paper 250)")  # fmt: skip
    relabel_transitions: PositiveInt = Field(default=100_000, description="transitions per relabeling (code)")
    relabel_tasks: PositiveInt = Field(default=20, description="training tasks drawn per relabeling (code)")
    relabel_states: Literal["all", "oldest"] = Field(
        default="all", description="transitions of a training task that may be relabeled: all (paper), or the oldest, "
        "as many as every task has (code)")  # fmt: skip
    relabel_capacity: PositiveInt = Field(default=1_000_000, description="relabeled transitions kept (code)")
    batch: PositiveInt = Field(default=256, description="SAC batch while fine-tuning (paper, table 2)")
    real_fraction: float = Field(default=0.05, ge=0, le=1, description="real adaptation data in that batch (code)")

    @property
    def updates(self) -> int:
        """SAC updates per task."""
        return self.relabel_updates

    @property
    def updates_per_round(self) -> int:
        """Each round begins with a relabeling."""
        return self.relabel_interval

    @property
    def num_real(self) -> int:
        """Real transitions in a batch, rounded down (code)."""
        return int(self.real_fraction * self.batch)

    def capacity_for(self, updates: int) -> int:
        """Relabeled transitions of a task to hold: no more than so many updates can make."""
        made = self.relabel_transitions * -(-updates // self.relabel_interval)
        return max(min(self.relabel_capacity, made), self.relabel_transitions)


class StoredExperience(NamedTuple):
    """What meta-training left: frames, a view of them by training task, and when an observation ends an episode."""

    store: EpisodeStore
    view: TaskIndex
    terminated: Callable[[Any], Any]


class AdaptedModel(NamedTuple):
    """One model per test task: theta, an ensemble over tasks, and contexts (task, context)."""

    model: ContextModel
    theta: Parameters
    contexts: Tensor


class Relabeling:
    """Batches for SAC learners, one per test task: a few real transitions, the rest relabeled.

    Rewards always come from the model. With a reward-only model the stored (s, a, s') are kept; with a dynamics
    model the action is the current policy's and s' is the model's too (paper, appendix).
    """

    def __init__(
        self,
        settings: RelabelSettings,
        stored: StoredExperience,
        adapted: AdaptedModel,
        embedding: Tensor,
        real: Transitions,
        updates: int,
    ) -> None:
        """embedding: what each learner is conditioned on, (learner, embedding); real: adaptation data (learner, row,
        ...); updates: how many batches will be asked for at most.
        """  # noqa: D205
        self.settings = settings
        self.stored = stored
        self.model, self.theta, self.contexts = adapted
        self.embedding = embedding
        self.real = real
        self._batches = 0
        self._synthetic = RelabeledReplay(len(embedding), settings.capacity_for(updates), embedding.device)

    def batch(self, learners: Learners, generator: torch.Generator) -> Transitions:
        """The next batch (learner, row, ...), real rows first, after relabeling with these learners if that is due."""
        if self._batches % self.settings.relabel_interval == 0:
            self._relabel(learners, generator)
        self._batches += 1
        device, number = self.embedding.device, self.settings.num_real
        chosen = torch.rand((len(self.embedding), number), generator=generator, device=device)
        real = rows_of(self.real, (chosen * self.real.rewards.shape[1]).long())
        synthetic = self._synthetic.sample(self.stored.store, self.settings.batch - number, generator)
        batch = Transitions(*(torch.cat(pair, dim=1) for pair in zip(real, synthetic)))
        return with_embedding(batch, self.embedding)

    @torch.no_grad()
    def _relabel(self, learners: Learners, generator: torch.Generator) -> None:
        """Add one synthetic batch per learner: states of randomly drawn training tasks."""
        settings, view = self.settings, self.stored.view
        share = settings.relabel_transitions // settings.relabel_tasks
        filled = np.flatnonzero(view.lengths)
        oldest = int(view.lengths[filled].min()) if settings.relabel_states == "oldest" else None
        for learner in range(len(self.embedding)):
            draws = torch.randint(len(filled), (settings.relabel_tasks,), generator=generator, device=generator.device)
            slots = view.sample(filled[draws.cpu().numpy()], share, generator, oldest).flatten()
            parts = [self._relabeled(learners, learner, part, generator) for part in slots.split(CHUNK)]
            self._synthetic.add(learner, slots, [torch.cat(field) for field in zip(*parts)])
        self._synthetic.advance(share * settings.relabel_tasks)

    def _relabeled(self, learners: Learners, learner: int, slots: Tensor, generator: torch.Generator) -> list[Tensor]:
        """New rewards, and with a dynamics model new actions, next observations and terminations, (row, ...)."""
        data = Transitions(*(field.unsqueeze(0) for field in self.stored.store.gather(slots)))
        theta = [parameter[learner : learner + 1] for parameter in self.theta]
        if self.model.predicts_dynamics:
            embedding = self.embedding[learner].expand(1, len(slots), -1)
            inputs = torch.cat([data.observations, embedding], dim=-1)
            data = data._replace(actions=learners.sample_one(learner, inputs, generator))
        shape = (1, len(slots), self.model.target_dim)
        noise = torch.randn(shape, generator=generator, device=slots.device)
        drawn = self.model.sample(theta, data, self.contexts[learner : learner + 1], noise)[0]
        if not self.model.predicts_dynamics:
            return [drawn[:, 0]]
        following = data.observations[0] + drawn[:, 1:]
        return [drawn[:, 0], data.actions[0], following, self.stored.terminated(following).float()]


class RelabeledReplay:
    """The newest `capacity` relabeled transitions per learner.

    Holds the slots that the transitions come from and only what relabeling replaced: rewards, and with a dynamics
    model actions, next observations and terminations too.
    """

    def __init__(self, num_learners: int, capacity: int, device: torch.device) -> None:
        self.capacity = capacity
        self.num_learners = num_learners
        self.added = 0
        self._device = device
        self._slots = torch.empty((num_learners, capacity), dtype=torch.int32, device=device)
        self._fields: list[Tensor] = []

    def add(self, learner: int, slots: Tensor, fields: list[Tensor]) -> None:
        """Write one relabeled batch of a learner at the ring's position; `advance` after the last learner."""
        if not self._fields:
            self._fields = [
                torch.empty((self.num_learners, self.capacity, *field.shape[1:]), device=self._device)
                for field in fields
            ]
        positions = torch.arange(self.added, self.added + len(slots), device=self._device) % self.capacity
        self._slots[learner, positions] = slots.to(torch.int32)
        for held, field in zip(self._fields, fields):
            held[learner, positions] = field

    def advance(self, number: int) -> None:
        """Every learner got `number` transitions more."""
        self.added += number

    def sample(self, store: EpisodeStore, number: int, generator: torch.Generator) -> Transitions:
        """Relabeled transitions, fields (learner, number, ...), drawn uniformly with replacement."""
        held = min(self.added, self.capacity)
        uniforms = torch.rand((self.num_learners, number), generator=generator, device=self._device)
        offsets = torch.arange(self.num_learners, device=self._device).unsqueeze(1) * self.capacity
        flat = ((uniforms * held).long().clamp_max(held - 1) + offsets).flatten()
        data = store.gather(self._slots.flatten()[flat].unflatten(0, (-1, number)))
        replaced = [field.flatten(0, 1).index_select(0, flat).unflatten(0, (-1, number)) for field in self._fields]
        names = ("rewards", "actions", "next_observations", "terminated")
        return data._replace(**dict(zip(names, replaced)))


def with_embedding(batch: Transitions, embedding: Tensor) -> Transitions:
    """The same transitions with an embedding appended to both observations.

    embedding: (task, row, embedding), or (task, embedding), the same for all rows of a task.
    """
    if embedding.dim() == 2:
        embedding = embedding.unsqueeze(1).expand(-1, batch.rewards.shape[1], -1)
    return batch._replace(
        observations=torch.cat([batch.observations, embedding], dim=-1),
        next_observations=torch.cat([batch.next_observations, embedding], dim=-1),
    )
