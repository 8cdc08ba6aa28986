"""A GRU with an ensemble axis over windows of recent transitions, and the windows as index views on stored frames.

The context of a step is the GRU's hidden state after the `length` transitions before it in its episode (Fakoor et al.
2020, section 3.1). A token is one transition (s, a, r), which is what a frame of `replay.EpisodeStore` holds, so a
window is a range of slots and nothing is stored twice. Windows that reach back beyond the episode's start are filled
with zeros, always and everywhere: the public code trains on padded windows and evaluates on unpadded ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from algorithms.kit.networks import Parameters, uniform
from algorithms.kit.replay import EpisodeStore, Transitions
from algorithms.kit.trial_data import rows_of
from tasks.spec import SpaceSpec

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


def gru_uniform(input_dim: int, hidden: int, generator: torch.Generator, ensemble: int = 1) -> Parameters:
    """A GRU with torch's default initialisation, U(+-1/sqrt(hidden)).

    [weights of inputs (ensemble, 3 hidden, input), of the hidden state (ensemble, 3 hidden, hidden), and their biases
    (ensemble, 3 hidden, 1)], gates in torch's order: reset, update, new.
    """
    shapes = ((3 * hidden, input_dim), (3 * hidden, hidden), (3 * hidden, 1), (3 * hidden, 1))
    return [uniform((ensemble, *shape), hidden**-0.5, generator) for shape in shapes]


def last_hidden(parameters: Sequence[Tensor], inputs: Tensor, present: Tensor | None = None) -> Tensor:
    """The hidden states (network, row, hidden) after the last of `inputs` (time, learner, row, input), from zero.

    Networks are learner-major; a learner may have several, which all read its rows. Where `present` (time, learner *
    row, networks alike) is False, a step is left out; that has no gradient, and neither have the inputs.
    """
    hidden: Tensor = _LastHidden.apply(*parameters, inputs, present)
    return hidden.transpose(1, 2)


def contexts_of(parameters: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """`last_hidden` of one network per learner, or of one alone, which then reads the rows of all; without a graph."""
    with torch.no_grad():
        if len(parameters[0]) == inputs.shape[1]:
            return last_hidden(parameters, inputs)
        return last_hidden(parameters, inputs.flatten(1, 2).unsqueeze(1))[0].unflatten(0, inputs.shape[1:3])


class _LastHidden(torch.autograd.Function):
    """The recurrence with rows as the last axis, so that a gate is one contiguous block, and its gradient by hand.

    A loop of autograd's operations takes several times as long: most of it is bookkeeping of small tensors.
    """

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        weight, hidden_weight, bias, hidden_bias, inputs, present = given
        networks, size = len(weight), hidden_weight.shape[2]
        gates = _input_gates(weight, bias, inputs)
        states = gates.new_zeros((len(inputs) + 1, networks, size, inputs.shape[2]))
        recurrent = gates.new_empty((len(inputs), networks, 3 * size, inputs.shape[2]))
        for time, gate in enumerate(gates):
            state, hidden_gate = states[time], recurrent[time]
            torch.baddbmm(hidden_bias, hidden_weight, state, out=hidden_gate)
            reset_update = gate[:, : 2 * size].add_(hidden_gate[:, : 2 * size]).sigmoid_()
            new = gate[:, 2 * size :].addcmul_(reset_update[:, :size], hidden_gate[:, 2 * size :]).tanh_()
            torch.lerp(new, state, reset_update[:, size:], out=states[time + 1])
            if present is not None:
                kept = torch.where(present[time].reshape(networks, 1, -1), states[time + 1], state)
                states[time + 1].copy_(kept)
        ctx.save_for_backward(weight, hidden_weight, inputs, gates, states, recurrent)
        ctx.differentiable = present is None
        return states[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.differentiable:
            raise RuntimeError("windows with steps left out have no gradient")
        weight, hidden_weight, inputs, gates, states, recurrent = ctx.saved_tensors
        size = hidden_weight.shape[2]
        backwards = hidden_weight.transpose(1, 2)
        of_gates, of_new = torch.empty_like(gates), torch.empty_like(states[1:])
        grad = grads[0]
        for time in range(len(inputs) - 1, -1, -1):
            reset, update, new = gates[time].split(size, dim=1)
            carried = grad * update
            new_grad = tanh_backward(grad - carried, new)
            into = of_gates[time]
            into[:, 2 * size :] = new_grad
            into[:, size : 2 * size] = sigmoid_backward(grad * (states[time] - new), update)
            into[:, :size] = sigmoid_backward(new_grad * recurrent[time][:, 2 * size :], reset)
            torch.mul(new_grad, reset, out=of_new[time])
            carried = torch.baddbmm(carried, backwards[:, :, : 2 * size], into[:, : 2 * size])
            grad = carried.baddbmm_(backwards[:, :, 2 * size :], of_new[time])
        before = states[:-1].transpose(2, 3)
        of_hidden = [torch.matmul(part, before).sum(0) for part in (of_gates[:, :, : 2 * size], of_new)]
        biases = of_gates.sum((0, 3)).unsqueeze(2)
        hidden_biases = torch.cat([biases[:, : 2 * size], of_new.sum((0, 3)).unsqueeze(2)], dim=1)
        return _weight_gradient(weight, of_gates, inputs), torch.cat(of_hidden, 1), biases, hidden_biases, None, None


def _input_gates(weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    """What the inputs add to the gates, (time, network, 3 hidden, row), in one product for all steps."""
    learners = inputs.shape[1]
    stacked = weight.reshape(learners, -1, weight.shape[2])  # the networks of a learner, one after the other
    gates = torch.matmul(stacked, inputs.transpose(2, 3)).unflatten(2, (-1, weight.shape[1]))
    return gates.flatten(1, 2).add_(bias)


def _weight_gradient(weight: Tensor, of_gates: Tensor, inputs: Tensor) -> Tensor:
    """The gradient of the input weights, (network, 3 hidden, input)."""
    grouped = of_gates.unflatten(1, (inputs.shape[1], -1)).flatten(2, 3)
    return torch.matmul(grouped, inputs).sum(0).reshape(weight.shape)


class Windowed(NamedTuple):
    """Transitions (learner, row, ...) and what led to them: tokens (length + 1, learner, row, token).

    The last token is the transition itself.
    """

    transitions: Transitions
    tokens: Tensor

    @property
    def history(self) -> Tensor:
        """The tokens before each observation, (length, learner, row, token)."""
        return self.tokens[:-1]

    @property
    def next_history(self) -> Tensor:
        """The tokens before each next observation."""
        return self.tokens[1:]


def window_tokens(frames: Tensor, slots: Tensor, steps: Tensor, length: int) -> Tensor:
    """The tokens at `slots` and the `length` before them in their episodes, (length + 1, *slots, token), oldest first.

    frames: (slot, token and anything after it), the transitions of an episode next to each other; steps: how many
    transitions of the same episode lie before each slot, shape of slots. Zeros before an episode's start.
    """
    offsets = torch.arange(-length, 1, device=slots.device).reshape(-1, *[1] * slots.dim())
    present = (offsets >= -steps).unsqueeze(-1)
    indices = (slots + offsets).clamp_min_(0)
    tokens = frames.index_select(0, indices.flatten()).unflatten(0, indices.shape)
    return tokens.mul_(present)


class EpisodeWindows:
    """Which windows a store's slots have: holds nothing but the slots at which episodes start."""

    def __init__(self, length: int, device: torch.device) -> None:
        self.length = length
        self._starts = torch.empty(1024, dtype=torch.int64, device=device)
        self._number = 0

    def add(self, start: int) -> None:
        """An episode starts at this slot, behind all others."""
        if self._number == len(self._starts):
            self._starts = torch.cat([self._starts, torch.empty_like(self._starts)])
        self._starts[self._number] = start
        self._number += 1

    def steps(self, slots: Tensor) -> Tensor:
        """How many transitions of the same episode lie before each slot, shape of slots."""
        starts = self._starts[: self._number]
        return slots - starts[torch.searchsorted(starts, slots, right=True) - 1]

    def gather(self, store: EpisodeStore, slots: Tensor) -> Windowed:
        """The transitions at `slots` (learner, row) with their histories."""
        tokens = window_tokens(store.frames, slots, self.steps(slots), self.length)
        return Windowed(store.gather(slots), tokens[..., :-1])  # a frame is a token and whether it was terminal

    def state(self) -> dict[str, Tensor]:
        """Where episodes start."""
        return {"starts": self._starts[: self._number].clone()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `state` returned."""
        starts = state["starts"].to(self._starts.device, torch.int64)
        self._number = len(starts)
        self._starts = torch.cat([starts, self._starts.new_empty(1024)])


class TrialWindows:
    """The adaptation data of each test task of a trial (D_new of MQL), with their windows."""

    def __init__(self, data: Transitions, steps: Tensor, length: int) -> None:
        """data: fields (task, row, ...) in the order they were made; steps: (task, row), of each in its episode."""
        self.data, self.steps, self.length = data, steps, length
        tokens = torch.cat([data.observations, data.actions, data.rewards.unsqueeze(-1)], dim=-1)
        self._tokens = tokens.flatten(0, 1)

    def gather(self, rows: Tensor) -> Windowed:
        """Each task's transitions at `rows` (task, number)."""
        slots = rows + self.data.rewards.shape[1] * torch.arange(len(rows), device=rows.device).unsqueeze(1)
        tokens = window_tokens(self._tokens, slots, self.steps.gather(1, rows), self.length)
        return Windowed(rows_of(self.data, rows), tokens)

    def everything(self) -> Windowed:
        """All of it, once."""
        return self.gather(torch.arange(self.steps.shape[1], device=self.steps.device).expand_as(self.steps))

    def sample(self, generator: torch.Generator) -> Windowed:
        """As many transitions of each task as it has, with replacement."""
        number = self.steps.shape[1]
        drawn = torch.rand(self.steps.shape, generator=generator, device=self.steps.device)
        return self.gather((drawn * number).long().clamp_max(number - 1))


class RunningHistory:
    """The newest tokens of episodes while they run, one per row, padded with zeros as in training."""

    def __init__(self, rows: int, length: int, spaces: SpaceSpec) -> None:
        self.steps = np.zeros(rows, np.int64)  # of the episode that is running, (row,)
        self.tokens = np.zeros((rows, length, spaces.observation_dim + spaces.action_dim + 1), np.float32)

    def observe(self, transition: Any, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Take in one step (`algorithms.base.Transition`); where an episode has ended, forget it."""
        observations, actions, rewards = transition[:3]
        tokens = np.concatenate([observations, actions, rewards[:, None]], axis=1)
        moved = np.concatenate([self.tokens[:, 1:], tokens[:, None]], axis=1)
        self.tokens = np.where(active[:, None, None], moved, self.tokens)
        self.steps = self.steps + active
        self.tokens[episode_end], self.steps[episode_end] = 0.0, 0

    @property
    def present(self) -> np.ndarray:
        """Which tokens are not padding, (row, time)."""
        length = self.tokens.shape[1]
        return np.arange(length) >= length - self.steps[:, None]
