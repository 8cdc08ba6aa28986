import numpy as np
import pytest
import torch

from algorithms.base import Diverged, as_arrays, averaged, evaluation_points, require_finite
from tasks.spec import EpisodeBatch


def batch(rewards, lengths, terminated):
    rewards = np.array(rewards, np.float32)
    number, longest = rewards.shape
    states, actions = np.zeros((number, longest + 1, 3), np.float32), np.zeros((number, longest, 2), np.float32)
    order = np.arange(number)
    return EpisodeBatch(states, actions, rewards, np.array(lengths), np.array(terminated), order, order)


def test_the_mean_return_is_of_whole_episodes_and_without_padding(small_mier):
    """Horizon 10: a full one (10), a terminated one (2 + 2 = 4, padding 99), a cut one that does not count."""
    rewards = [[1.0] * 10, [2.0, 2.0] + [99.0] * 8, [50.0] * 3 + [99.0] * 7]
    mier = small_mier()
    assert mier.mean_return(batch(rewards, [10, 2, 3], [False, True, False])) == 7.0
    assert np.isnan(mier.mean_return(batch(rewards, [9, 2, 3], [False] * 3)))


def test_exploration_in_pieces_of_a_horizon(small_mier):
    mier = small_mier()
    assert mier.pieces(25) == [10, 10, 5]
    assert mier.pieces(20) == [10, 10]
    assert mier.pieces(3) == [3]


def test_a_metric_that_is_not_finite_is_named_but_a_missing_return_is_no_fault():
    fine = {"return": float("nan"), "loss": 1.0}
    assert require_finite(fine) is fine
    with pytest.raises(Diverged, match="critic_loss, kl became nan"):
        require_finite({"loss": 1.0, "critic_loss": float("nan"), "kl": float("inf")})


def test_metrics_are_averaged_over_steps_and_over_learners():
    values = iter([1.0, 2.0, 6.0])
    assert averaged(lambda: {"loss": torch.tensor([next(values), 0.0])}, 3) == {"loss": pytest.approx(1.5)}


def test_diagnostics_are_detached_copies():
    value = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert as_arrays({"loss": value, "gate": torch.tensor([True, False])})["gate"].tolist() == [1.0, 0.0]
    assert as_arrays({"loss": value})["loss"].dtype == np.float32


@pytest.mark.parametrize(
    ("every", "updates", "expected"),
    [(500, 2000, [500, 1000, 1500, 2000]), (500, 1200, [500, 1000, 1200]), (500, 300, [300]), (7, 7, [7]), (5, 0, [])],
)
def test_evaluation_points_are_the_multiples_and_the_last(every, updates, expected):
    assert evaluation_points(every, updates) == expected
