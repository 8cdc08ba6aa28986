"""One recurrent network that acts: an LSTM or a GRU over whole sequences, a Gaussian actor and a critic on top.

Sequences are (step, row, ...). A cell's weights are in the layout of torch's own recurrent kernels, which unroll
a sequence in one call. Few GRU rows are unrolled by `kit.context.gru`, whose gradient is written by hand: 600 steps
with 128 units take on one core, forwards and backwards, 50 ms against 106 of torch's for 5 rows, 147 against 184 for
25, 345 against 310 for 50. Both take one set of weights; where every test task has weights of its own an ensemble of
cells is needed, which is another file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from algorithms.kit.context.gru import gru_states, orthogonal_gru
from algorithms.kit.networks import Parameters, as_leaves, glorot_uniform, uniform
from algorithms.kit.on_policy.policy_gradient import MIN_LOG_STD, Gaussian, log_density
from algorithms.kit.state import Part

Kind = Literal["lstm", "gru"]

FEW_ROWS = 32
"""GRU rows up to which the gradient is faster by hand."""


class Sizes(NamedTuple):
    """What a recurrent policy is built for."""

    kind: Kind
    observations: int  # at the head of an input
    inputs: int
    actions: int
    hidden: int
    heads: tuple[int, ...] = ()  # hidden tanh layers of actor and critic
    critic: bool = True
    observations_to_heads: bool = False
    initial_std: float = 1.0

    @property
    def state(self) -> int:
        """Length of a hidden state: an LSTM's holds its cell too."""
        return self.hidden * (2 if self.kind == "lstm" else 1)


class Output(NamedTuple):
    """mean (step, row, action) of the actions, values (step, row) of the critic (0 without one), state (row, state)."""

    mean: Tensor
    values: Tensor
    state: Tensor


class ActorCritic(ABC):
    """An actor of normal actions, whose standard deviation is trained and does not depend on the input, and a critic.

    `recurrent`: whether what it does depends on what it read before.
    """

    recurrent: ClassVar[bool]

    def __init__(self, actions: int, initial_std: float, generator: torch.Generator) -> None:
        log_std = torch.full((actions,), math.log(initial_std), device=generator.device)
        self._log_std = log_std.requires_grad_(True)

    @property
    @abstractmethod
    def parameters(self) -> Parameters:
        """All that is trained."""

    @abstractmethod
    def parts(self) -> dict[str, Part]:
        """The weights."""

    @abstractmethod
    def blank(self, rows: int) -> Tensor:
        """The state at the start of a sequence, (row, state): 0."""

    @abstractmethod
    def unroll(self, inputs: Tensor, state: Tensor, chunk: int | None = None) -> Output:
        """Means, values and the last state for inputs (step, row, input) from `state` on.

        With `chunk`, gradients stop every so many steps, while the state is carried on (truncated backpropagation).
        """

    @property
    def log_std(self) -> Tensor:
        """Log standard deviation of the actions, (action,), not below log 1e-6 (ProMP code)."""
        return self._log_std.clamp_min(MIN_LOG_STD)

    def drawn(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (..., action) around their means."""
        return mean + self.log_std.exp() * torch.randn(mean.shape, generator=generator, device=mean.device)

    def log_probs(self, mean: Tensor, actions: Tensor) -> Tensor:
        """Log densities (...) of actions (..., action), summed over their dimensions."""
        return log_density(Gaussian(mean, self.log_std), actions)

    def entropy(self) -> Tensor:
        """Differential entropy of the actions, nats."""
        return self.log_std.sum() + 0.5 * len(self.log_std) * (1 + math.log(2 * math.pi))


class RecurrentPolicy(ActorCritic):
    """The weights of a cell and of its heads."""

    recurrent = True

    def __init__(self, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__(sizes.actions, sizes.initial_std, generator)
        self.sizes = sizes
        width = sizes.hidden + (sizes.observations if sizes.observations_to_heads else 0)
        self.cell = as_leaves(initial_cell(sizes.kind, sizes.inputs, sizes.hidden, generator))
        self.actor = as_leaves(glorot_uniform([width, *sizes.heads, sizes.actions], generator))
        self.critic = as_leaves(glorot_uniform([width, *sizes.heads, 1], generator)) if sizes.critic else []

    @property
    def parameters(self) -> Parameters:
        """All that is trained."""
        return [*self.cell, *self.actor, *self.critic, self._log_std]

    def parts(self) -> dict[str, Part]:
        """The weights."""
        return {"cell": self.cell, "actor": self.actor, "critic": self.critic, "log_std": self._log_std}

    def blank(self, rows: int) -> Tensor:
        """Zeros."""
        return torch.zeros((rows, self.sizes.state), device=self._log_std.device)

    def unroll(self, inputs: Tensor, state: Tensor, chunk: int | None = None) -> Output:
        """What the cell and its heads say."""
        pieces = []
        for piece in (inputs,) if chunk is None else inputs.split(chunk):
            outputs, state = unroll(self.sizes.kind, self.cell, piece, state if chunk is None else state.detach())
            pieces.append(outputs)
        features = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        if self.sizes.observations_to_heads:
            features = torch.cat([features, inputs[..., : self.sizes.observations]], dim=-1)
        mean = tanh_layers(self.actor, features)
        values = tanh_layers(self.critic, features).squeeze(-1) if self.critic else torch.zeros_like(mean[..., 0])
        return Output(mean, values, state)


def initial_cell(kind: Kind, inputs: int, hidden: int, generator: torch.Generator) -> Parameters:
    """[input weights (gates * hidden, input), recurrent weights (gates * hidden, hidden), and a bias of each].

    An LSTM as TensorFlow makes it: Glorot-uniform over inputs and hidden units together, forget bias 1 (the ProMP
    code's). A GRU with orthogonal weights and zero biases (VariBAD code).
    """
    if kind == "gru":
        return orthogonal_gru(inputs, hidden, generator)
    bound = (6.0 / (inputs + hidden + 4 * hidden)) ** 0.5
    biases = [torch.zeros(4 * hidden, device=generator.device) for _ in range(2)]
    biases[0][hidden : 2 * hidden] = 1.0
    return [uniform((4 * hidden, width), bound, generator) for width in (inputs, hidden)] + biases


def unroll(kind: Kind, cell: Sequence[Tensor], inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (step, row, hidden) of a cell on inputs (step, row, input), and the state (row, state) after them."""
    train = torch.is_grad_enabled()
    if kind == "gru" and train and inputs.shape[1] <= FEW_ROWS and not (state.requires_grad or inputs.is_cuda):
        outputs = gru_states(cell, inputs, state)
        return outputs, outputs[-1]
    if kind == "gru":
        outputs, hidden = torch.gru(inputs, state.unsqueeze(0), list(cell), True, 1, 0.0, train, False, False)
        return outputs, hidden[0]
    halves = [half.contiguous() for half in state.unsqueeze(0).chunk(2, dim=-1)]
    outputs, hidden, memory = torch.lstm(inputs, halves, list(cell), True, 1, 0.0, train, False, False)
    return outputs, torch.cat([hidden[0], memory[0]], dim=-1)


def tanh_layers(parameters: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Outputs (..., out) of one network (an ensemble of one) with tanh between its layers, on inputs (..., in)."""
    outputs = inputs
    for layer in range(0, len(parameters), 2):
        outputs = torch.tanh(outputs) if layer else outputs
        outputs = outputs @ parameters[layer][0] + parameters[layer + 1][0]
    return outputs
