"""States: taken out, put back in place, and refused where they do not fit."""

import pytest
import torch

from algorithms.kit.networks import adam, as_leaves
from algorithms.kit.state import load_state_of, state_of


def test_moments_that_are_put_back_are_copies_and_no_moments_clear_them():
    (parameter,) = as_leaves([torch.ones(2)])
    optimiser = adam([parameter], 0.1)
    assert state_of({"it": optimiser}) == {"it": []}
    parameter.grad = torch.tensor([1.0, -2.0])
    optimiser.step()
    moments = state_of({"it": optimiser})["it"]
    assert moments[0].tolist() == pytest.approx([0.1, -0.2])
    assert moments[1].tolist() == pytest.approx([0.001, 0.004])
    assert float(moments[2]) == 1.0
    other = adam(as_leaves([torch.ones(2)]), 0.1)
    load_state_of({"it": other}, {"it": moments})
    optimiser.step()
    assert state_of({"it": other})["it"][0].tolist() == pytest.approx([0.1, -0.2])
    load_state_of({"it": other}, {"it": []})
    assert state_of({"it": other}) == {"it": []}


def test_weights_are_put_back_in_place_parts_of_parts_and_nothing_included():
    weights, one = as_leaves([torch.zeros(2), torch.zeros(1, 3)]), torch.zeros(2)
    parts = {"inner": {"weights": weights, "one": one}, "nothing": None}
    state = {"inner": {"weights": [torch.ones(2), torch.ones(1, 3)], "one": torch.tensor([4.0, 5.0])}, "nothing": []}
    load_state_of(parts, state)
    assert weights[1].tolist() == [[1, 1, 1]]
    assert weights[1].requires_grad
    assert one.tolist() == [4, 5]
    assert state_of(parts)["inner"]["one"].tolist() == [4, 5]
    assert not state_of(parts)["inner"]["weights"][0].requires_grad


@pytest.mark.parametrize("given", [[torch.ones(1)], [torch.ones(2), torch.ones(2)], []])
def test_a_state_that_would_be_stretched_or_cut_is_refused(given):
    with pytest.raises(ValueError, match=r"theta has tensors of shapes \[\[2\]\]"):
        load_state_of({"theta": [torch.zeros(2)]}, {"theta": given})
