"""Experience relabeling: continue SAC in a test task on other tasks' experience, relabeled by an adapted model.

Mendonca et al. 2020, section 4.3 and Algorithm 2. The relabeled distribution never holds a true reward of the test
task but for the few real adaptation transitions mixed in. Written for any SAC learner that is conditioned on an
embedding, not for MIER alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from algorithms.kit.model_based.context_model import ContextModel
from algorithms.kit.networks import Parameters
from algorithms.kit.off_policy.sac import SoftActorCritic
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from algorithms.kit.trial_data import rows_of

CHUNK = 5000  # transitions relabeled at once: bounds the memory of the model's activations


class RelabelSettings(NamedTuple):
    """How much is relabeled, how often, and what a fine-tuning batch holds."""

    updates: int
    interval: int
    transitions: int
    tasks: int
    capacity: int
    batch: int
    num_real: int


class FineTuning:
    """SAC learners, one per test task, that continue on relabeled experience.

    Rewards always come from the model. With a reward-only model the stored (s, a, s') are kept; with a dynamics
    model the action is the current policy's and s' is the model's too (paper, appendix).
    """

    def __init__(
        self,
        settings: RelabelSettings,
        learners: SoftActorCritic,
        model: ContextModel,
        theta: Parameters,
        contexts: Tensor,
        real: Transitions,
    ) -> None:
        """theta: one model per learner; contexts: (learner, context); real: adaptation data (learner, row, ...)."""
        self.settings = settings
        self.learners = learners
        self.model = model
        self.theta = theta
        self.contexts = contexts
        self.real = real
        self.updates = 0
        capacity = min(settings.capacity, settings.transitions * -(-settings.updates // settings.interval))
        self._synthetic = RelabeledReplay(len(contexts), max(capacity, settings.transitions), contexts.device)

    def update(
        self,
        store: EpisodeStore,
        index: TaskIndex,
        terminated: Callable[[Any], Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """One SAC update of every learner, relabeling first when it is due; losses per learner, (learner,)."""
        if self.updates % self.settings.interval == 0:
            self._relabel(store, index, terminated, generator)
        self.updates += 1
        device, number = self.contexts.device, self.settings.num_real
        chosen = torch.rand((len(self.contexts), number), generator=generator, device=device)
        real = rows_of(self.real, (chosen * self.real.rewards.shape[1]).long())
        synthetic = self._synthetic.sample(store, self.settings.batch - number, generator)
        batch = Transitions(*(torch.cat(pair, dim=1) for pair in zip(real, synthetic)))
        batch = with_embedding(batch, self.contexts.unsqueeze(1).expand(-1, self.settings.batch, -1))
        return self.learners.update(batch, generator)

    @torch.no_grad()
    def _relabel(
        self, store: EpisodeStore, index: TaskIndex, terminated: Callable[[Any], Any], generator: torch.Generator
    ) -> None:
        """Add one synthetic batch per learner: states of randomly drawn training tasks."""
        settings = self.settings
        share = settings.transitions // settings.tasks
        filled = np.flatnonzero(index.lengths)
        for learner in range(len(self.contexts)):
            draws = torch.randint(len(filled), (settings.tasks,), generator=generator, device=generator.device)
            slots = index.sample(filled[draws.cpu().numpy()], share, generator).flatten()
            parts = [self._relabeled(store, learner, part, terminated, generator) for part in slots.split(CHUNK)]
            self._synthetic.add(learner, slots, [torch.cat(field) for field in zip(*parts)])
        self._synthetic.advance(share * settings.tasks)

    def _relabeled(
        self, store: EpisodeStore, learner: int, slots: Tensor, terminated: Callable[[Any], Any],
        generator: torch.Generator,
    ) -> list[Tensor]:  # fmt: skip
        """New rewards, and with a dynamics model new actions, next observations and terminations, (row, ...)."""
        data = Transitions(*(field.unsqueeze(0) for field in store.gather(slots)))
        context = self.contexts[learner : learner + 1]
        theta = [parameter[learner : learner + 1] for parameter in self.theta]
        if self.model.predicts_dynamics:
            inputs = torch.cat([data.observations, context.unsqueeze(1).expand(-1, len(slots), -1)], dim=-1)
            data = data._replace(actions=self.learners.sample_one(learner, inputs, generator))
        shape = (1, len(slots), self.model.target_dim)
        noise = torch.randn(shape, generator=generator, device=slots.device)
        drawn = self.model.sample(theta, data, context, noise)[0]
        if not self.model.predicts_dynamics:
            return [drawn[:, 0]]
        following = data.observations[0] + drawn[:, 1:]
        return [drawn[:, 0], data.actions[0], following, terminated(following).float()]


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
    """The same transitions with an embedding (task, row, embedding) appended to both observations."""
    return batch._replace(
        observations=torch.cat([batch.observations, embedding], dim=-1),
        next_observations=torch.cat([batch.next_observations, embedding], dim=-1),
    )
