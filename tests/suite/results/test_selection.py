"""Runs by the names that people give them."""

import pytest

from suite.errors import UserError
from suite.results.json_files import read_json
from suite.results.prepare import prepare
from suite.results.selection import training_folder, training_folders


@pytest.fixture
def results(tiny_experiment, tmp_path):
    """Folders of a results folder: MIER and MIER-wR with one training per seed, PEARL with another."""
    out = tmp_path / "out"
    prepare(tiny_experiment(("mier", "mier-wr", "pearl"), seeds=[0, 1]), out)
    return out


def test_every_way_to_name_a_run(results):
    cells = read_json(results / "cells.json")
    mier, pearl = (
        [results / cell["training"] for cell in cells if cell["variant"] == name] for name in ("mier", "pearl")
    )
    assert training_folders(results) == mier + pearl
    assert training_folders(results, ["pearl"]) == pearl
    assert training_folders(results, ["mier-wr"]) == mier
    assert training_folders(results, [pearl[0].name, "mier"]) == [*mier, pearl[0]]
    for cell in cells:
        for name in (cell["training"], cell["run"], cell["training"][:8]):
            assert training_folder(results, name) == results / cell["training"]


def test_names_that_stand_for_nothing_or_too_much(results):
    with pytest.raises(UserError, match=r"has no run 'paerl'; .* did you mean pearl\?"):
        training_folders(results, ["mier", "paerl"])
    with pytest.raises(UserError, match="'mier' stands for 2 runs; give the hash of one: "):
        training_folder(results, "mier")
    with pytest.raises(UserError, match="has no run 'a'"):  # too short to be a hash
        training_folders(results, ["a"])
    with pytest.raises(UserError, match="is no results folder"):
        training_folders(results.parent)
