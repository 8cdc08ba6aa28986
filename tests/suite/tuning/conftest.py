"""A small search, and a function that changes it."""

import pytest

from suite.tuning.search import Search

SEARCH = {
    "name": "small",
    "splits": ["point-goal.tuning", "point-dynamics.tuning"],
    "algorithms": [{
        "name": "pearl+relabeling", "label": "pearl", "configurations": [{"train": {"learning_rate": 0.001}}],
        "ranges": {"train.learning_rate": [0.0005, 0.01], "adapt.relabel_updates": [100, 900]},
    }],
    "configurations": 4,
    "rungs": [{"env_steps": 2000, "keep": 2}, {"env_steps": 4000}],
    "seeds": [100, 101],
}  # fmt: skip


@pytest.fixture
def declared():
    """A function (**fields) -> the search with these fields in place of its own."""
    return lambda **fields: Search.model_validate(SEARCH | fields)
