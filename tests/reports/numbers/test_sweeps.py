"""The effects of a sweep's factors, by hand: means over the other factors, over seeds that have every combination."""

import json
from itertools import product

import numpy as np
import pytest

from reports.numbers import intervals, sweeps
from reports.numbers.tables import TABLES, made
from reports.reading.load import load

AXES = {"mier-wr.train.context_dim": [5, 10], "mier-wr.adapt.learning_rate": [0.1, 0.01]}


def label(dim, rate):
    return f"mier-wr context_dim={dim} learning_rate={rate}"


def write_sweep(folder, synthetic, seeds=(0, 1), axes=AXES, lacking=()):
    """Returns of 100 for the larger dimension, 1 for the larger rate, and 10 x the seed."""
    for dim, rate, seed in product((5, 10), (0.1, 0.01), seeds):
        if (dim, rate, seed) not in lacking:
            value = 100.0 * (dim == 10) + (rate == 0.1) + 10 * seed
            synthetic.simple_run(folder, label(dim, rate), seed, test=[[value]], algorithm="mier-wr")
    experiment = {"name": "sweep", "splits": [synthetic.SPLIT], "algorithms": ["mier-wr"], "axes": axes,
                  "seeds": list(seeds), "budget": {"env_steps": 1000}}  # fmt: skip
    (folder / "experiment.json").write_text(json.dumps({"experiment": experiment}))
    return load(folder)


def test_effects_are_means_over_the_other_factors(tmp_path, synthetic):
    results = write_sweep(tmp_path, synthetic)
    frame = sweeps.effects(results, synthetic.SPLIT).set_index(["factor", "level"])
    assert frame["mean"].to_dict() == {
        ("context_dim", "5"): 5.5, ("context_dim", "10"): 105.5,
        ("learning_rate", "0.1"): 56.0, ("learning_rate", "0.01"): 55.0,
    }  # fmt: skip
    expected = intervals.student_t(np.array([0.5, 10.5]))
    assert tuple(frame.loc[("context_dim", "5"), ["low", "high"]]) == pytest.approx(expected[1:3])
    assert set(frame["n"]) == {2}
    assert set(frame["variant"]) == {"mier-wr"}
    singles = sweeps.combination_means(results, synthetic.SPLIT)
    assert sorted(singles.loc[singles["level"] == "10", "mean"]) == [105.0, 106.0]


def test_a_seed_that_lacks_a_combination_does_not_count(tmp_path, synthetic):
    results = write_sweep(tmp_path, synthetic, lacking=[(10, 0.1, 1)])
    frame = sweeps.effects(results, synthetic.SPLIT).set_index(["factor", "level"])
    assert frame.loc[("context_dim", "5"), "mean"] == 0.5
    assert set(frame["n"]) == {1}


def test_the_table_marks_the_best_value_of_each_factor(tmp_path, synthetic):
    results = write_sweep(tmp_path, synthetic, seeds=(0, 1, 2))
    table = made(results)["factors"].set_index("variant")
    assert table.loc["mier-wr context_dim=10", "best"]
    assert not table.loc["mier-wr context_dim=5", ["best", "tied"]].any(), "100 apart in every seed"
    assert table.loc["mier-wr learning_rate=0.1", "best"]
    assert table.loc["mier-wr context_dim=10", "text"] == "110.5 [85.7, 135.3], n = 3"


def test_values_of_adaptation_are_compared_in_pairs_and_those_of_training_apart(tmp_path, synthetic):
    """Seed 0 of one value of a training factor is another meta-training than seed 0 of the next."""
    everything = [*product((5, 10), (0.1, 0.01), (0, 1, 2))]
    write_sweep(tmp_path, synthetic, seeds=(0, 1, 2))  # written over
    for dim, rate, seed in everything:
        value = 5.0 * (dim == 10) + 5.0 * (rate == 0.1) + 10 * seed + 0.1 * seed * (rate == 0.1) + 0.1 * seed * dim
        synthetic.simple_run(tmp_path, label(dim, rate), seed, test=[[value]], algorithm="mier-wr",
                             training=f"t-{dim}-{seed}")  # fmt: skip
    table = made(load(tmp_path))["factors"].set_index("level")
    assert table["best"].to_dict() == {"5": False, "10": True, "0.1": True, "0.01": False}
    assert table["tied"].to_dict() == {"5": True, "10": False, "0.1": False, "0.01": False}


@pytest.mark.parametrize(
    "axes", [{}, {"pearl.train.x": [1, 2]}, {"nothing": [1]}, {f"mier-wr.train.x{n}": [1] * 100 for n in range(50)}]
)
def test_without_a_sweep_among_the_results_there_is_no_table(tmp_path, synthetic, axes):
    results = write_sweep(tmp_path, synthetic, axes=axes)
    assert sweeps.sweeps(results) == ()
    assert sweeps.effects(results, synthetic.SPLIT).empty
    assert [*made(results)] == [name for name in TABLES if name != "factors"]


def test_labels_are_those_of_the_expansion():
    from suite.experiment.declaration import Experiment
    from suite.experiment.expansion import expand

    experiment = Experiment.model_validate(
        {"name": "s", "splits": ["cheetah-velocity.standard"], "algorithms": ["mier-wr"], "seeds": [0],
         "axes": {"mier-wr.train.context_dim": [5, 10], "mier-wr.train.gradient_clip": [10.0, 100]},
         "budget": {"env_steps": 500_000}}
    )  # fmt: skip
    (sweep,) = sweeps._declared(json.loads(experiment.model_dump_json())["axes"], most=4)
    assert [*sweep.variants] == list(dict.fromkeys(cell.variant for cell in expand(experiment)))
