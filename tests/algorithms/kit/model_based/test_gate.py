"""The gate: which loss it judges, and a threshold with the coverage that it promises."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from algorithms.kit.model_based.gate import GateSettings, calibrated_threshold, fewest_tasks

LIKELIHOOD, BOUND_TERM = torch.tensor([-13.5, -2.9, 1.3]), torch.tensor([0.1, 0.2, -58.1])


def never():
    raise AssertionError("no left-out task is needed")


def test_no_gate_lets_everything_through_and_records_nothing():
    is_open, judged = GateSettings().judge(torch.tensor([-5.0, 1e9, float("nan")]), torch.zeros(3), never)
    assert is_open.tolist() == [True, True, True]
    assert judged == {}


def test_the_authors_gate_judges_the_loss_with_its_bound_term():
    """So that a task whose likelihood is the worst opens it, where the term has drifted as in the released weights."""
    is_open, judged = GateSettings(gate="total").judge(LIKELIHOOD, BOUND_TERM, never)
    assert is_open.tolist() == [True, False, True]
    torch.testing.assert_close(judged["gate_loss"], torch.tensor([-13.4, -2.7, -56.8]))
    assert judged["gate_threshold"].tolist() == [-3.0] * 3
    assert judged["gate_open"].tolist() == [1.0, 0.0, 1.0]
    at, _ = GateSettings(gate="total", gate_threshold=1.0).judge(torch.tensor([1.0]), torch.zeros(1), never)
    assert at.tolist() == [False]  # below, not at


def test_the_likelihood_gate_judges_without_it_against_left_out_tasks():
    others = torch.tensor([-14.0, -2.0, -13.0, -12.0])
    is_open, judged = GateSettings(gate="likelihood", gate_quantile=0.5).judge(LIKELIHOOD, BOUND_TERM, lambda: others)
    assert judged["gate_threshold"].tolist() == [-12.0] * 3  # ceil(5 * 0.5) = third smallest
    assert is_open.tolist() == [True, False, False]
    assert torch.equal(judged["gate_loss"], LIKELIHOOD)
    at, _ = GateSettings(gate="likelihood", gate_quantile=0.5).judge(others, torch.zeros(4), lambda: others)
    assert at.tolist() == [True, False, True, True]  # at the threshold, as its promise counts
    wider, _ = GateSettings(gate="likelihood", gate_quantile=0.8).judge(LIKELIHOOD, BOUND_TERM, lambda: others)
    assert wider.tolist() == [True, True, False]


@pytest.mark.parametrize(("quantile", "fewest"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.85, 6)])
def test_how_many_left_out_tasks_a_quantile_takes(quantile, fewest):
    """Just enough: their largest loss is the threshold. One fewer is refused."""
    assert fewest_tasks(quantile) == fewest
    assert calibrated_threshold(torch.arange(float(fewest)), quantile) == fewest - 1
    with pytest.raises(ValueError, match=f"the {quantile} quantile takes {fewest} losses, given {fewest - 1}"):
        calibrated_threshold(torch.arange(float(fewest - 1)), quantile)


def test_a_fresh_exchangeable_task_passes_as_often_as_promised():
    """Over many draws from a skewed distribution: at least q, and at most q + 1 / (K + 1)."""
    draw = np.random.default_rng(0)
    for quantile, number in ((0.9, 9), (0.8, 10), (0.5, 7)):
        losses = torch.from_numpy(draw.lognormal(size=(4000, number + 1)))
        passed = [float(row[-1]) <= calibrated_threshold(row[:-1], quantile) for row in losses]
        error = 4 * np.sqrt(quantile * (1 - quantile) / 4000)
        assert quantile - error < np.mean(passed) < quantile + 1 / (number + 1) + error


def test_a_gate_that_was_never_calibrated_is_named_with_the_remedy():
    settings = GateSettings(gate="likelihood")
    problem = settings.never_calibrated(left_out_tasks=0, first_transitions=2000, transitions=200)
    assert "never calibrated" in problem
    assert "takes 9 of them, and train.left_out_tasks is 0; set that to 9 or more" in problem
    assert settings.never_calibrated(9, 2000, 200) is None
    assert "train.initial_transitions is 100; set that to 200 or more" in settings.never_calibrated(9, 100, 200)
    for gate in ("none", "total"):
        assert GateSettings(gate=gate).never_calibrated(0, 0, 200) is None


@pytest.mark.parametrize("values", [{"gate": "on"}, {"gate": None}, {"gate": -3.0}, {"gate_quantile": 1.0}])
def test_what_is_no_gate(values):
    with pytest.raises(ValidationError):
        GateSettings(**values)
