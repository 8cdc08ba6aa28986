import numpy as np
import pytest
import torch

from algorithms.base import TrainConfig, ViewConfig
from algorithms.kit.views import View
from tasks.spec import SpaceSpec

SPACES = SpaceSpec(observation_dim=4, action_dim=1, horizon=5, views={"odd": (1, 3)})


def test_a_view_picks_its_numbers_of_arrays_and_tensors_and_full_gives_the_very_same():
    values, view, full = np.arange(12.0).reshape(3, 4), View(SPACES, "odd"), View(SPACES)
    assert (view.dim, full.dim) == (2, 4)
    assert view(values).tolist() == [[1, 3], [5, 7], [9, 11]]
    assert torch.equal(view(torch.as_tensor(values)), torch.as_tensor(view(values)))
    assert full(values) is values
    with pytest.raises(ValueError, match="no view 'even': set `view` to 'full' or 'odd'"):
        View(SPACES, "even")


def test_a_full_view_changes_no_identity_and_any_other_does():
    class Plain(TrainConfig):
        def first_steps(self, num_tasks):
            return 1

    class Viewing(ViewConfig):
        def first_steps(self, num_tasks):
            return 1

    assert Viewing().model_dump() == Plain().model_dump()
    assert Viewing(view="odd").model_dump() == Plain().model_dump() | {"view": "odd"}
    assert Viewing.model_validate(Plain().model_dump()).view == "full"  # as what was written before there were views
    assert Viewing(view="odd").problem(SPACES, 1) is None
    assert "did you mean 'odd'" in Viewing(view="od").problem(SPACES, 1)
