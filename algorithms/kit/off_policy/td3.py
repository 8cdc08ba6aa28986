"""Twin delayed deep deterministic policy gradient with recurrent contexts (Fujimoto et al. 2018; Fakoor et al. 2020).

Every network carries a leading learner axis L: one learner in meta-training, one per test task in adaptation, each
with its own loss, so that gradients never mix (the losses are sums over learners of means over rows). The actor and
the critics each read the history with a GRU of their own, which the twins share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.context.recurrent_context import Windowed, gru_uniform, last_hidden
from algorithms.kit.networks import (
    Parameters,
    Precision,
    adam,
    as_leaves,
    fan_in_uniform,
    frozen,
    mlp,
    polyak,
    repeat_ensemble,
    step,
)  # fmt: skip
from algorithms.kit.off_policy.gaussian_policy import standard_normal
from algorithms.kit.off_policy.twin_critics import twin_values
from algorithms.kit.state import Part


class Td3Settings(NamedTuple):
    """Hyper-parameters of one learner."""

    discount: float
    target_rate: float
    learning_rate: float
    policy_noise: float
    noise_clip: float
    precision: Precision


class Network(NamedTuple):
    """A perceptron whose inputs end with the last hidden state of a GRU over the history."""

    gru: Parameters
    mlp: Parameters

    @property
    def parameters(self) -> Parameters:
        """All tensors."""
        return [*self.gru, *self.mlp]

    def map(self, change: Callable[[Parameters], Parameters]) -> Network:
        """The network with both lists changed."""
        return Network(change(self.gru), change(self.mlp))


class Sizes(NamedTuple):
    """What the networks are built for."""

    observation_dim: int
    action_dim: int
    context: int
    hidden: tuple[int, ...]


class Weighting(NamedTuple):
    """How adaptation changes the losses (Fakoor et al. 2020, equations 16 and 17).

    Rows count by `weights` (learner, row), and parameters are held near the anchors by `strength` (learner,) times
    their squared distance.
    """

    weights: Tensor
    strength: Tensor
    actor: Network
    critics: Network


class TwinDelayed:
    """L learners with the same architecture, trained by `update` on batches with histories (learner, row, ...)."""

    def __init__(self, settings: Td3Settings, actor: Network, critics: Network) -> None:
        """The critics' perceptrons are an ensemble of 2 L, learner-major; targets start as copies."""
        self.settings = settings
        self.actor, self.critics = actor.map(as_leaves), critics.map(as_leaves)
        self.actor_target, self.critic_target = actor.map(_copied), critics.map(_copied)
        self.actor_optimiser = adam(self.actor.parameters, settings.learning_rate)
        self.critic_optimiser = adam(self.critics.parameters, settings.learning_rate)
        self.policy_losses = torch.zeros(len(actor.gru[0]), device=actor.gru[0].device)  # of the last policy step

    @classmethod
    def initial(cls, settings: Td3Settings, sizes: Sizes, generator: torch.Generator) -> TwinDelayed:
        """One fresh learner with torch's default initialisation."""
        token = sizes.observation_dim + sizes.action_dim + 1
        inputs = sizes.observation_dim + sizes.context
        actor = fan_in_uniform([inputs, *sizes.hidden, sizes.action_dim], generator)
        critics = fan_in_uniform([inputs + sizes.action_dim, *sizes.hidden, 1], generator, ensemble=2)
        grus = [gru_uniform(token, sizes.context, generator) for _ in range(2)]
        return cls(settings, Network(grus[0], actor), Network(grus[1], critics))

    def copies(self, number: int, learning_rate: float) -> TwinDelayed:
        """`number` independent learners that start here, targets included, with fresh optimiser moments."""

        def repeated(parameters: Parameters) -> Parameters:
            return repeat_ensemble(parameters, number)

        settings = self.settings._replace(learning_rate=learning_rate)
        learners = TwinDelayed(settings, self.actor.map(repeated), self.critics.map(repeated))
        learners.actor_target = self.actor_target.map(repeated)
        learners.critic_target = self.critic_target.map(repeated)
        return learners

    def update(
        self, batch: Windowed, generator: torch.Generator, with_policy: bool, weighting: Weighting | None = None
    ) -> dict[str, Tensor]:
        """One step of the critics, and `with_policy` of actor and targets; returns detached losses, each (learner,).

        The policy's loss is that of the last policy step.
        """
        critic_losses = self._critic_losses(batch, weighting, generator)
        step(self.critic_optimiser, self.critics.parameters, critic_losses.sum())
        if with_policy:
            losses = self._policy_losses(batch, weighting)
            step(self.actor_optimiser, self.actor.parameters, losses.sum())
            self.policy_losses = losses.detach()
            targets, sources = (self.actor_target, self.critic_target), (self.actor, self.critics)
            for target, source in zip(targets, sources):
                polyak(target.parameters, source.parameters, self.settings.target_rate)
        return {"critic_loss": critic_losses.detach(), "policy_loss": self.policy_losses}

    def _critic_losses(self, batch: Windowed, weighting: Weighting | None, generator: torch.Generator) -> Tensor:
        """Sum over the twins of the mean squared Bellman error, (learner,)."""
        bellman = self.bellman_targets(batch, generator)
        data = batch.transitions
        inputs = torch.cat([data.observations, last_hidden(self.critics.gru, batch.history)], dim=-1)
        values = twin_values(self.critics.mlp, inputs, data.actions, self.settings.precision)
        errors = (values - bellman.unsqueeze(1)).square().sum(1)
        if weighting is None:
            return errors.mean(1)
        pull = weighting.strength * squared_distance(self.critics, weighting.critics)
        return (weighting.weights * errors).mean(1) + pull

    @torch.no_grad()
    def bellman_targets(self, batch: Windowed, generator: torch.Generator) -> Tensor:
        """r + discount * min Q'(s', pi'(s') + clipped noise), (learner, row): target policy smoothing."""
        settings, data = self.settings, batch.transitions
        actor, critics = self.actor_target, self.critic_target
        # The target actor's and critics' GRUs read the same windows: one pass.
        pairs = [torch.stack(pair, dim=1).flatten(0, 1) for pair in zip(actor.gru, critics.gru)]
        contexts = last_hidden(pairs, batch.next_history).unflatten(0, (-1, 2)).unbind(1)
        inputs = [torch.cat([data.next_observations, context], dim=-1) for context in contexts]
        actions = torch.tanh(mlp(actor.mlp, inputs[0], settings.precision))
        noise = settings.policy_noise * standard_normal(actions, generator)
        noise = noise.clamp_(-settings.noise_clip, settings.noise_clip)
        actions = (actions + noise).clamp_(-1, 1)
        values = twin_values(critics.mlp, inputs[1], actions, settings.precision).amin(1)
        return data.rewards + settings.discount * (1 - data.terminated) * values

    def _policy_losses(self, batch: Windowed, weighting: Weighting | None) -> Tensor:
        """Minus the first critic's mean value of the actor's actions, (learner,)."""
        observations, precision = batch.transitions.observations, self.settings.precision
        actions = policy_actions(self.actor, observations, batch.history, precision=precision)
        critics = self.critics.map(frozen)
        context = last_hidden(critics.gru, batch.history)
        joined = torch.cat([observations, context, actions], dim=-1)
        values = mlp([parameter[::2] for parameter in critics.mlp], joined, precision).squeeze(-1)
        if weighting is None:
            return -values.mean(1)
        return weighting.strength * squared_distance(self.actor, weighting.actor) - (weighting.weights * values).mean(1)

    def parts(self) -> dict[str, Part]:
        """All weights and optimiser moments, for a checkpoint."""
        networks = {name: getattr(self, name) for name in ("actor", "critics", "actor_target", "critic_target")}
        named: dict[str, Part] = {name: network._asdict() for name, network in networks.items()}
        return named | {"actor_optimiser": self.actor_optimiser, "critic_optimiser": self.critic_optimiser}


def policy_actions(
    actor: Network, observations: Tensor, history: Tensor, present: Tensor | None = None, precision: Precision = "fp32"
) -> Tensor:
    """The deterministic policy's actions (learner, row, action) after a history (time, learner, row, token)."""
    context = last_hidden(actor.gru, history, present)
    return torch.tanh(mlp(actor.mlp, torch.cat([observations, context], dim=-1), precision))


def squared_distance(network: Network, anchor: Network) -> Tensor:
    """Squared Euclidean distance of all parameters of each learner from the anchor's, (learner,).

    The anchor is one learner, or as many.
    """
    grouped = [
        [parameter.unflatten(0, (len(held.gru[0]), -1)) for parameter in held.parameters] for held in (network, anchor)
    ]
    squares = [(parameter - held).square().flatten(1).sum(1) for parameter, held in zip(*grouped)]
    return torch.stack(squares).sum(0)


def _copied(parameters: Parameters) -> Parameters:
    return [parameter.clone() for parameter in frozen(parameters)]
