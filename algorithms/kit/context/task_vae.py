"""The variational auto-encoder that a belief over tasks is trained by (Zintgraf et al. 2020, section 3.3).

The belief q_t after t steps of a trial of H steps has to explain all of it, the past and the future, and to stay near
the belief before it, which is its prior:

    ELBO = sum_{t=0..H} ( sum_{k=0..H-1} E_{m ~ q_t}[log p(r_{k+1}, s_{k+1} | m, s_k, a_k)] - w KL(q_t || q_{t-1}) ),

with q_{-1} = N(0, I), one latent drawn per belief, and maximised in the mean over trials. Sums are estimated from
`times` beliefs of each trial and `steps` transitions for each belief, drawn with replacement among the trial's own and
weighted so that the estimate is without bias: how many are drawn changes its noise and nothing else.

Where this leaves the public code. It averages errors over the trials of a batch but *sums* their KL, and does not
weight what it draws, so that its w stands for w * trials * (H / steps) here (0.1 in it is 8 here for trials of 400).
It draws indices trial by trial and reads them time by time, so that with trials of unequal lengths those of one are
applied to another, and it encodes and decodes padding; here a trial's indices lie within its own length.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.context.belief import Belief, BeliefEncoder, Histories, kl_divergence
from algorithms.kit.context.decoders import Decoder
from algorithms.kit.networks import Parameters, adam, norm_clipped
from algorithms.kit.state import Part


class VaeSettings(NamedTuple):
    """How a belief is trained; the fields are described where algorithms declare them."""

    kl_weight: float
    times: int | None  # beliefs of each trial; None: all
    steps: int | None  # transitions that each is asked for; None: all
    truncation: int | None  # steps that gradients go back
    learning_rate: float
    gradient_clip: float | None  # norm, of the encoder and of each decoder by itself


class Drawn(NamedTuple):
    """Which terms of the sums are worked out, and for how many each one stands.

    times (trial, time) of beliefs, steps (trial, time, number) that they are asked for, and the weights of both.
    """

    times: Tensor
    time_weights: Tensor
    steps: Tensor
    step_weights: Tensor


def drawn_terms(lengths: Tensor, longest: int, settings: VaeSettings, generator: torch.Generator) -> Drawn:
    """Terms of trials of `lengths` (trial,), none of them of padding up to the `longest`."""
    times, time_weights = _indices(lengths.unsqueeze(1) + 1, longest + 1, settings.times, generator)
    within = lengths.reshape(-1, 1, 1).expand(*times.shape, 1)
    return Drawn(times, time_weights, *_indices(within, longest, settings.steps, generator))


def _indices(below: Tensor, most: int, number: int | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`number` indices (..., number) below `below` (..., 1), or all up to `most`, and for how many each stands."""
    if number is None:
        everything = torch.arange(most, device=below.device).expand(*below.shape[:-1], most)
        return everything.clamp_max(below - 1), (everything < below).float()
    uniforms = torch.rand((*below.shape[:-1], number), generator=generator, device=below.device, dtype=torch.float64)
    return (uniforms * below).long(), (below / number).expand(uniforms.shape).float()


class TaskVae:
    """An encoder, its decoders, and their one optimiser."""

    def __init__(self, settings: VaeSettings, encoder: BeliefEncoder, decoders: list[Decoder]) -> None:
        self.settings = settings
        self.encoder = encoder
        self.decoders = decoders
        self.optimiser = adam(self.parameters, settings.learning_rate)

    @property
    def parameters(self) -> Parameters:
        """All that is trained."""
        return [parameter for network in self._networks for parameter in network.parameters]

    @property
    def _networks(self) -> list[BeliefEncoder | Decoder]:
        return [self.encoder, *self.decoders]

    def update(self, histories: Histories, generator: torch.Generator) -> dict[str, Tensor]:
        """One Adam step on minus the ELBO of trials; what it reports are scalars on the device."""
        drawn = drawn_terms(histories.lengths, histories.rewards.shape[1], self.settings, generator)
        shape = (*drawn.times.shape, self.encoder.sizes.latent)
        loss, report = self.loss(histories, drawn, torch.randn(shape, generator=generator, device=generator.device))
        gradients = list(torch.autograd.grad(loss, self.parameters))
        for network in self._networks:
            own = [gradients.pop(0) for _ in network.parameters]
            for parameter, gradient in zip(network.parameters, norm_clipped(own, self.settings.gradient_clip)):
                parameter.grad = gradient
        self.optimiser.step()
        return report

    def loss(self, histories: Histories, drawn: Drawn, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus the ELBO, a mean over trials, with latents drawn by `noise` (trial, time, latent), and a report.

        Reported are the mean squared error of a transition and the mean KL of a step, nats.
        """
        beliefs = self.encoder.belief(self.encoder.unrolled(histories, self.settings.truncation))
        latents = Belief(*(self._at(field, drawn.times) for field in beliefs)).drawn(noise)
        errors = torch.stack([each.squared_errors(latents, histories, drawn.steps) for each in self.decoders]).sum(0)
        missed = (drawn.step_weights * errors).sum(2)
        divergence = self._chain(beliefs).gather(1, drawn.times)
        loss = (drawn.time_weights * (missed + self.settings.kl_weight * divergence)).sum(1).mean()
        total = drawn.time_weights.sum()
        pairs = (drawn.time_weights * drawn.step_weights.sum(2)).sum()
        report = {"reconstruction": (drawn.time_weights * missed).sum() / pairs,
                  "belief_kl": (drawn.time_weights * divergence).sum() / total}  # fmt: skip
        return loss, {name: value.detach() for name, value in report.items()}

    @staticmethod
    def _at(field: Tensor, times: Tensor) -> Tensor:
        return field.gather(1, times.unsqueeze(2).expand(-1, -1, field.shape[2]))

    @staticmethod
    def _chain(beliefs: Belief) -> Tensor:
        """KL of each belief (trial, time, latent) from the one before it, the first from N(0, I): (trial, time)."""
        before = Belief(*(torch.cat([torch.zeros_like(field[:, :1]), field[:, :-1]], dim=1) for field in beliefs))
        return kl_divergence(beliefs, before)

    def parts(self) -> dict[str, Part]:
        """Weights, and Adam's moments."""
        decoders: dict[str, Part] = {each.sizes.target: each.parts() for each in self.decoders}
        return {"encoder": self.encoder.parts(), "decoders": decoders, "optimiser": self.optimiser}
