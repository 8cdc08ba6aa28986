"""Returns and advantages against numbers worked out by hand or episode by episode in numpy."""

import numpy as np
import torch

from algorithms.kit.on_policy.advantages import (
    discounted_sums,
    episode_times,
    generalised_advantages,
    standardised,
)

LAST = torch.tensor([[[False, False, True, False, True], [False, False, False, False, True]]])


def test_steps_are_counted_from_the_start_of_each_episode():
    assert episode_times(LAST).tolist() == [[[0, 1, 2, 0, 1], [0, 1, 2, 3, 4]]]


def test_returns_stop_at_the_end_of_an_episode():
    rewards = torch.tensor([[[1.0, 2.0, 4.0, 8.0, 16.0], [1.0, 1.0, 1.0, 1.0, 1.0]]])
    assert discounted_sums(rewards, LAST, 0.5).tolist() == [[[3.0, 4.0, 4.0, 16.0, 16.0],
                                                            [1.9375, 1.875, 1.75, 1.5, 1.0]]]  # fmt: skip


def test_padding_behind_an_episode_changes_nothing():
    rewards = torch.tensor([[1.0, 2.0, 4.0, 0.0, 0.0]])
    last = torch.tensor([[False, False, True, False, False]])
    assert discounted_sums(rewards, last, 0.5).tolist() == [[3.0, 4.0, 4.0, 0.0, 0.0]]


def test_advantages_agree_with_a_sum_written_out_per_episode():
    draw = np.random.default_rng(0)
    rewards, values, after = (draw.standard_normal(7) for _ in range(3))
    last = torch.tensor([[[False, False, True, False, False, False, True]]])
    discount, smoothing = 0.9, 0.7
    for with_bootstrap in (False, True):
        expected = []
        for start, end in ((0, 3), (3, 7)):
            behind = after[end - 1] if with_bootstrap else 0.0
            following = np.append(values[start + 1 : end], behind)
            deltas = rewards[start:end] + discount * following - values[start:end]
            expected += [
                sum((discount * smoothing) ** (k - t) * deltas[k] for k in range(t, end - start))
                for t in range(end - start)
            ]
        given = [torch.as_tensor(array)[None, None] for array in (rewards, values, after)]
        found = generalised_advantages(*given[:2], last, discount, smoothing, given[2] if with_bootstrap else None)
        np.testing.assert_allclose(found[0, 0], expected)


def test_with_full_smoothing_the_advantage_is_the_return_minus_the_baseline():
    rewards, values = torch.randn(2, 1, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = generalised_advantages(rewards, values, LAST, 0.99, 1.0)
    torch.testing.assert_close(found, discounted_sums(rewards, LAST, 0.99) - values)


def test_advantages_are_divided_by_their_standard_deviation_in_each_task():
    draws = torch.randn(3, 20, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scaled = standardised(draws * torch.tensor([0.1, 1.0, 10.0]).view(3, 1, 1) + 5)
    # sigma = 10 gives |A| of about one: divided by the variance it would be a tenth
    torch.testing.assert_close(
        scaled.flatten(1).std(1, unbiased=False), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(scaled.flatten(1).mean(1), torch.zeros(3, dtype=torch.float64))


def test_standardising_ignores_what_lies_outside_and_survives_equal_advantages():
    values = torch.tensor([[[1.0, 3.0, 1e6], [2.0, 2.0, 2.0]]])
    inside = torch.tensor([[[True, True, False], [False, False, False]]])
    torch.testing.assert_close(standardised(values, inside), torch.tensor([[[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]))
    assert standardised(torch.ones(2, 3, 4)).abs().max() == 0
