"""Early stopping by hand: a parameter that counts its steps, and looks whose losses are given."""

import pytest
import torch

from algorithms.kit.model_based.fitting import Limits, fit


def counted(losses, limits):
    """The parameter after fitting, the metrics, and the sizes of the pieces that were trained."""
    parameter, looks, pieces = torch.zeros(1, requires_grad=True), iter(losses or ()), []

    def train(number):
        pieces.append(number)
        with torch.no_grad():
            parameter.add_(number)
        return {"loss": float(len(pieces))}

    judge = None if losses is None else lambda: {"held_out_loss": next(looks), "seen": float(parameter.detach())}
    return fit([parameter], train, judge, limits), float(parameter.detach()), pieces


def test_fitting_ends_after_looks_without_a_better_loss_and_the_best_is_kept():
    metrics, left, pieces = counted([5.0, 4.0, 4.5, 3.0, 3.5, 3.2, 1.0], Limits(most=100, every=5, patience=2))
    assert pieces == [5] * 6
    assert left == 20  # as it was at the fourth look
    assert metrics == {"loss": 3.5, "held_out_loss": 3.0, "seen": 20.0, "gradient_steps": 30.0}


def test_the_most_steps_are_kept_and_a_short_last_piece_counts_for_less():
    metrics, left, pieces = counted([3.0, 2.0, 1.0], Limits(most=12, every=5, patience=9))
    assert pieces == [5, 5, 2]
    assert left == 12
    assert metrics["loss"] == pytest.approx((5 * 1 + 5 * 2 + 2 * 3) / 12)
    assert metrics["gradient_steps"] == 12


def test_without_looks_the_last_step_stays():
    metrics, left, _ = counted(None, Limits(most=7, every=5, patience=1))
    assert left == 7
    assert set(metrics) == {"loss", "gradient_steps"}
