"""Whether an adapted model is good enough to relabel with: a gate that sees a task's adaptation data alone.

The likelihood gate opens where the model explains a test task no worse than it explains training tasks that it was not
fitted to. Its threshold is a conformal quantile (Vovk, Gammerman, Shafer 2005): if K left-out training tasks and a test
task are exchangeable, the test task's loss is at most the ceil((K + 1) q)-th smallest of theirs with probability q or
more, whatever the distribution of losses. No test task is needed to choose it, and it moves with the scale of losses,
which differs between families and checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from tasks.frozen import Frozen

ROUNDING = 1e-9  # q / (1 - q) and (K + 1) q are often whole numbers, but for their rounding


class LeftOutSettings(Frozen):
    """How many training tasks a meta-training keeps for the calibration of a gate."""

    left_out_tasks: NonNegativeInt = Field(
        default=0, exclude_if=lambda number: number == 0, description="training tasks, drawn by the seed, that collect "
        "but are fitted by neither model nor policy: `gate: likelihood` is calibrated on them (ours)")  # fmt: skip

    def too_many_left_out(self, num_tasks: int) -> str | None:
        """Why these are too many, and the remedy; None: they are not."""
        if 2 * self.left_out_tasks <= num_tasks:
            return None
        return (
            f"train.left_out_tasks: without {self.left_out_tasks} of {num_tasks} training tasks too few are left to "
            f"meta-train on; leave out {num_tasks // 2} at most"
        )

    def divided(self, num_tasks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The training tasks that are left out and those that are fitted, in order."""
        order = np.random.default_rng([1, seed]).permutation(num_tasks)  # another stream than an algorithm's choices
        return np.sort(order[: self.left_out_tasks]), np.sort(order[self.left_out_tasks :])


class GateSettings(Frozen):
    """When a test task's fine-tuning goes ahead."""

    gate: Literal["none", "total", "likelihood"] = Field(
        default="none", description="relabel always (code), or only where the adapted model's held-out loss is below a "
        "threshold: the authors' `total` loss (paper), which opens always once a joint model is trained, since its "
        "bound term falls without limit; or its `likelihood` part (ours). A closed task keeps its policy")  # fmt: skip
    gate_threshold: float = Field(default=-3.0, description="of `gate: total` (paper, appendix)")
    gate_quantile: float = Field(
        default=0.9, gt=0, lt=1, description="`gate: likelihood` opens for a fresh training task with this probability "
        "at least: its threshold is that quantile of held-out losses on `left_out_tasks` (ours)")  # fmt: skip

    def never_calibrated(self, left_out_tasks: int, first_transitions: int, transitions: int) -> str | None:
        """Why the gate has no threshold, and the remedy; None: it has one.

        left_out_tasks: training tasks that were fitted by nothing, each with at least `first_transitions` collected
        as a test task's adaptation data are; transitions: how many of these a test task gives.
        """
        needed = fewest_tasks(self.gate_quantile)
        if self.gate != "likelihood":
            return None
        if left_out_tasks < needed:
            return (
                f"adapt.gate: likelihood was never calibrated: its threshold is the {self.gate_quantile} quantile of "
                f"losses on training tasks left out of meta-training, which takes {needed} of them, and "
                f"train.left_out_tasks is {left_out_tasks}; set that to {needed} or more, or choose a lower "
                "adapt.gate_quantile or gate: none"
            )
        if first_transitions < transitions:
            return (
                f"adapt.gate: likelihood is calibrated on as many transitions per task as a test gives, {transitions}, "
                f"and train.initial_transitions is {first_transitions}; set that to {transitions} or more"
            )
        return None

    def judge(
        self, likelihood: Tensor, bound_term: Tensor, left_out_losses: Callable[[], Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """In which tasks relabeling goes ahead, (task,), and diagnostics of what decided it, {} without a gate.

        likelihood and bound_term: the held-out loss without the regulariser, and the regulariser, (task,);
        left_out_losses: the likelihood of left-out training tasks, adapted to as test tasks are, (left-out task,).
        """
        if self.gate == "none":
            return torch.ones_like(likelihood, dtype=torch.bool), {}
        if self.gate == "total":
            loss, threshold = likelihood + bound_term, self.gate_threshold
            is_open = loss < threshold
        else:
            loss, threshold = likelihood, calibrated_threshold(left_out_losses(), self.gate_quantile)
            is_open = loss <= threshold  # at it, the promise of `calibrated_threshold` still holds
        judged = {"gate_loss": loss, "gate_threshold": torch.full_like(loss, threshold)}
        return is_open, {"gate_open": is_open.float(), **judged}


def fewest_tasks(quantile: float) -> int:
    """How many left-out tasks that quantile takes: with fewer no threshold would be too high."""
    return math.ceil(quantile / (1 - quantile) - ROUNDING)


def calibrated_threshold(losses: Tensor, quantile: float) -> float:
    """The threshold that a loss exchangeable with `losses` (task,) exceeds with probability at most 1 - `quantile`.

    Raises:
        ValueError: they are too few for that quantile.
    """
    needed = fewest_tasks(quantile)
    if len(losses) < needed:
        raise ValueError(f"the {quantile} quantile takes {needed} losses, given {len(losses)}")
    rank = math.ceil((len(losses) + 1) * quantile - ROUNDING)
    return float(losses.sort().values[rank - 1])
