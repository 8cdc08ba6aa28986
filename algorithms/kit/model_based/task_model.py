"""A model p(r, s' | s, a) of one task, fitted on its adaptation data: relabeling without a meta-learned model.

The architecture and the loss are those of MIER's model (Mendonca et al. 2020) with a context of no dimension, and one
network per test task. A few hundred transitions are little: observations, actions and changes are normalised with the
statistics of the meta-training replay (never its rewards), and of all steps of the fit those parameters count that
explain held-out transitions of the task best.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from algorithms.kit.model_based.context_model import ContextModel
from algorithms.kit.model_based.dynamics import Normalisation, add_to_sums, empty_sums, normalisation_of
from algorithms.kit.model_based.relabeling import AdaptedModel
from algorithms.kit.networks import Parameters, adam, as_leaves, frozen, repeat_ensemble, step
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from tasks.frozen import Frozen


class TaskModel(ContextModel):
    """Architecture and losses; parameters are an ensemble over test tasks, or of one on data of many tasks."""

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        hidden: tuple[int, ...],
        *,
        predicts_dynamics: bool,
        negative_slope: float,
        normalisation: Normalisation,
    ) -> None:
        super().__init__(
            observation_dim, action_dim, 0, hidden, predicts_dynamics=predicts_dynamics,
            negative_slope=negative_slope, precision="fp32",
        )  # fmt: skip
        self.normalisation = normalisation

    def inputs(self, batch: Transitions) -> Tensor:
        """Normalised state and action joined, (task, row, input)."""
        return self.normalisation.inputs(batch)

    def targets(self, batch: Transitions) -> Tensor:
        """The reward as it is, then (if modelled) the normalised s' - s, (task, row, target)."""
        rewards = batch.rewards.unsqueeze(-1)
        if not self.predicts_dynamics:
            return rewards
        return torch.cat([rewards, self.normalisation.targets(batch)], dim=-1)

    def sample(self, parameters: Parameters, batch: Transitions, context: Tensor, noise: Tensor) -> Tensor:
        """Draws (task, row, target) of r and s' - s, in their own units."""
        drawn = super().sample(parameters, batch, context, noise)
        if not self.predicts_dynamics:
            return drawn
        changes = drawn[..., 1:] * self.normalisation.change_scale + self.normalisation.change_mean
        return torch.cat([drawn[..., :1], changes], dim=-1)

    def losses(self, parameters: Parameters, batch: Transitions) -> Tensor:
        """Likelihood losses without the bound term, one per task of the batch, (task,)."""
        return self.losses_on(parameters, batch, batch.rewards.new_zeros((len(batch.rewards), 0)))


class TaskModelSettings(Frozen):
    """What models of tasks predict, and how they are fitted."""

    predicts: Literal["reward", "dynamics"] = Field(
        default="dynamics", description="`reward`: rewards alone are relabeled, for reward-varying tasks; `dynamics`: "
        "actions, rewards and next observations (MIER paper, appendix)")  # fmt: skip
    model_hidden: tuple[PositiveInt, ...] = Field(default=(200,) * 4, description="model layers (MIER code)")
    model_negative_slope: float = Field(default=0.2, ge=0, description="leaky ReLU of the model (MIER code)")
    model_learning_rate: float = Field(default=1e-3, gt=0, description="Adam of the model (MIER code)")
    model_steps: PositiveInt = Field(
        default=1000, description="full-batch steps on the fitted share, of which those count that explain the "
        "held-out share best (ours)")  # fmt: skip
    model_look_every: PositiveInt = Field(default=20, description="steps between two looks at the held-out loss (ours)")
    model_pretraining_steps: int = Field(
        default=0, ge=0, description="steps on the meta-training replay before: a task-average to start from. For "
        "`dynamics` alone, as the average of other tasks' rewards is the wrong reward (ours)")  # fmt: skip
    model_batch: PositiveInt = Field(default=1000, description="transitions per step of that pre-training (ours)")

    @model_validator(mode="after")
    def _no_average_of_rewards(self) -> Self:
        if self.model_pretraining_steps and self.predicts == "reward":
            raise ValueError(
                f"model_pretraining_steps is {self.model_pretraining_steps}, but with predicts: reward the model would "
                "learn the average of other tasks' rewards; set it to 0, or predicts: dynamics"
            )
        return self


class TaskModels(NamedTuple):
    """What was fitted: parameters are an ensemble over tasks; diagnostics (task,) by name."""

    model: TaskModel
    parameters: Parameters
    diagnostics: dict[str, Tensor]

    @property
    def adapted(self) -> AdaptedModel:
        """The models as relabeling takes them: with contexts of no dimension."""
        first = self.parameters[0]
        return AdaptedModel(self.model, self.parameters, first.new_zeros((len(first), 0)))


def fit_task_models(
    settings: TaskModelSettings, store: EpisodeStore, replay: TaskIndex, fit: Transitions, held_out: Transitions,
    generator: torch.Generator,
) -> TaskModels:  # fmt: skip
    """One model per task of the adaptation data, fields (task, row, ...), which it is fitted to and judged on.

    All tasks start from the same random network, or from one trained on the `replay` in `store`.
    """
    spaces = store.spaces
    model = TaskModel(
        spaces.observation_dim, spaces.action_dim, settings.model_hidden,
        predicts_dynamics=settings.predicts == "dynamics", negative_slope=settings.model_negative_slope,
        normalisation=replay_scales(store, replay),
    )  # fmt: skip
    start = pretrained(settings, model, store, replay, generator)
    parameters, steps = fitted(settings, model, start, fit, held_out)
    losses = {"held_out_loss": model.losses(parameters, held_out), "fit_loss": model.losses(parameters, fit)}
    return TaskModels(model, parameters, losses | {"model_steps": steps})


def replay_scales(store: EpisodeStore, replay: TaskIndex) -> Normalisation:
    """Of the observations, actions and changes in the replay; its rewards have no part in it."""
    sums = empty_sums(store.spaces.observation_dim, store.spaces.action_dim, store.frames.device)
    for task in np.flatnonzero(replay.lengths):
        add_to_sums(sums, store.gather(replay.held(int(task))))
    return normalisation_of(sums, store.spaces.observation_dim + store.spaces.action_dim)


def pretrained(
    settings: TaskModelSettings, model: TaskModel, store: EpisodeStore, replay: TaskIndex, generator: torch.Generator
) -> Parameters:
    """A fresh network (ensemble of one) after its Adam steps on transitions of uniformly drawn training tasks."""
    parameters = as_leaves(model.initial(generator))
    optimiser = adam(parameters, settings.model_learning_rate)
    filled = np.flatnonzero(replay.lengths)
    for _ in range(settings.model_pretraining_steps):
        draws = torch.randint(len(filled), (settings.model_batch,), generator=generator, device=generator.device)
        slots = replay.sample(filled[draws.cpu().numpy()], 1, generator)
        losses = model.losses(parameters, store.gather(slots.T))
        step(optimiser, parameters, (losses + model.bound_term(parameters)).sum())
    return frozen(parameters)


def fitted(
    settings: TaskModelSettings, model: TaskModel, start: Parameters, fit: Transitions, held_out: Transitions
) -> tuple[Parameters, Tensor]:
    """One network per task after full-batch Adam steps on `fit`, as it was when it explained `held_out` best.

    start: where every task starts, an ensemble of one. Held-out losses are looked at before the first step, after
    every `look_every` and after the last. Returns the parameters and the number of steps each task's took, (task,).
    """
    current = as_leaves(repeat_ensemble(start, len(fit.rewards)))
    optimiser = adam(current, settings.model_learning_rate)
    best = [parameter.detach().clone() for parameter in current]
    least = model.losses(best, held_out)
    taken = torch.zeros_like(least)
    for number in range(1, settings.model_steps + 1):
        step(optimiser, current, (model.losses(current, fit) + model.bound_term(current)).sum())
        if number % settings.model_look_every and number != settings.model_steps:
            continue
        now = frozen(current)
        losses = model.losses(now, held_out)
        better = losses < least
        least, taken = torch.where(better, losses, least), torch.where(better, float(number), taken)
        for kept, parameter in zip(best, now):
            kept[better] = parameter[better]
    return best, taken
