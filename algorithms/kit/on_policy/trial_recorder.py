"""What proximal policy optimisation needs of trials, written down while they are lived side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from algorithms.kit.on_policy.recurrent_ppo import RecurrentPpo, Trials
from tasks.spec import Transition


class TrialRecorder:
    """Acts by a policy in trials of equally many steps, and keeps what it did and what came of it."""

    def __init__(self, ppo: RecurrentPpo, generator: torch.Generator) -> None:
        self._ppo = ppo
        self._generator = generator
        self._start: np.ndarray | None = None
        self._steps: list[tuple[Tensor, ...]] = []
        self._lived: list[tuple[np.ndarray, np.ndarray]] = []
        self._following: np.ndarray | None = None

    @torch.no_grad()
    def act(self, observations: np.ndarray, inputs: Tensor, state: Tensor) -> np.ndarray:
        """Actions (row, action) cut to [-1, 1], given what the policy reads (row, input) and its state (row, state)."""
        if self._start is None:
            self._start = observations.copy()
        policy = self._ppo.policy
        output = policy.unroll(inputs.unsqueeze(0), state)
        actions = policy.drawn(output.mean[0], self._generator)
        self._steps.append((inputs, actions, policy.log_probs(output.mean[0], actions), output.values[0]))
        return actions.clamp(-1, 1).cpu().numpy()

    def watch(self, transition: Transition, over: np.ndarray) -> None:
        """Take in a step, and in which rows an episode ended with it, which the end of a trial alone is not."""
        self._lived.append((transition.rewards.copy(), over))
        self._following = transition.next_observations

    def trials(self, final_inputs: Callable[[np.ndarray], Tensor], state: Tensor) -> Trials:
        """All of it, with what the policy would read next, of observations, and the state in which it would.

        What would be seen next, where the last episode is over, is a start like the trial's own.
        """
        inputs, actions, log_probs, values = (torch.stack(field) for field in zip(*self._steps))
        rewards, ends = (torch.as_tensor(np.stack(field), device=inputs.device) for field in zip(*self._lived))
        assert self._start is not None
        assert self._following is not None
        following = np.where(self._lived[-1][1][:, None], self._start, self._following)
        final, unit = final_inputs(following).unsqueeze(0), self._ppo.unit
        with torch.no_grad():
            value = self._ppo.policy.unroll(final, state).values[0]
        return Trials(inputs, actions, log_probs, values * unit, rewards, ends, final, value * unit)
