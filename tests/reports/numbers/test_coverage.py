"""How often intervals cover the truth, and how seldom identical algorithms are told apart, at 2 to 10 seeds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.numbers import aggregates, intervals
from reports.numbers.improvement import probability_of_improvement

SEEDS = (2, 3, 5, 10)
TRIALS = 400
FALSE = stats.binom.ppf(0.999, TRIALS, 0.05) / TRIALS
"""How often 95 % intervals may exclude the truth in so many trials; one test in a thousand fails by chance."""

FEWEST = stats.binom.ppf(0.001, TRIALS, 0.93) / TRIALS
"""The same for intervals that cover at least 93 %, which is what `docs/statistics.md` says of IQM and median."""


@pytest.fixture(scope="module")
def simulation():
    import importlib.util

    spec = importlib.util.spec_from_file_location("simulation", Path(__file__).with_name("simulation.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["mean", "median", "IQM"])
@pytest.mark.parametrize("seeds", SEEDS)
def test_intervals_cover_and_identical_algorithms_do_not_differ(simulation, seeds, name):
    generator = np.random.default_rng([seeds, len(name)])
    first, second = (simulation.scores(generator, TRIALS, seeds, steps=0.3) for _ in range(2))
    covered = different = 0
    for a, b in zip(first, second):
        one, other = simulation.sample(a), simulation.sample(b, name="u")
        estimate = aggregates.estimate(one, name)
        covered += estimate.low <= 0.5 <= estimate.high
        different += intervals.shows_difference(aggregates.difference(one, other, name))
    assert covered / TRIALS >= FEWEST
    assert different / TRIALS <= FALSE


@pytest.mark.parametrize("seeds", SEEDS)
def test_over_splits_of_their_own_seeds_identical_algorithms_do_not_differ(simulation, seeds):
    generator = np.random.default_rng(seeds)
    drawn = [[simulation.scores(generator, TRIALS, seeds, tasks=4) for _ in range(4)] for _ in range(2)]
    different = 0
    for trial in range(TRIALS):
        one, other = (simulation.sample(*(part[trial] for part in of), name=n) for of, n in zip(drawn, "tu"))
        different += intervals.shows_difference(aggregates.difference(one, other, "IQM"))
    assert different / TRIALS <= FALSE


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("chance", [0.5, 0.8, 0.95])
def test_the_probability_of_improvement_is_covered_where_tasks_rise_and_fall_as_one(seeds, chance):
    generator = np.random.default_rng([seeds, round(100 * chance)])
    shift = stats.norm.ppf(chance) * np.sqrt(2)
    covered = different = 0
    for _ in range(TRIALS):
        a, b = generator.normal(shift, 1, (seeds, 1)), generator.normal(0, 1, (seeds, 1))
        tables = ({"a.b": pd.DataFrame(x, [f"{name}{i}" for i in range(seeds)])} for x, name in ((a, "t"), (b, "u")))
        found = probability_of_improvement(*tables)
        assert found.high - found.low > 0.1
        covered += found.low <= chance <= found.high
        different += found.low > 0.5 or found.high < 0.5
    assert covered / TRIALS >= 1 - FALSE
    if chance == 0.5:
        assert different / TRIALS <= FALSE
    elif seeds == 10 and chance == 0.95:
        assert different / TRIALS > 0.9  # not by saying nothing


def test_of_eight_identical_algorithms_the_best_is_seldom_set_off_from_any(simulation):
    generator = np.random.default_rng(0)
    scores = simulation.scores(generator, 8 * 150, 5, tasks=4).reshape(150, 8, 5, 4)
    wrong = {"alone": 0, "together": 0}
    for trial in scores:
        samples = sorted(
            (simulation.sample(part, name=f"v{number}-") for number, part in enumerate(trial)),
            key=lambda sample: -sample.scores.mean(),
        )
        for kind, level in (("alone", intervals.LEVEL), ("together", intervals.shared_level(7))):
            found = [aggregates.difference(samples[0], other, "mean", level) for other in samples[1:]]
            wrong[kind] += any(map(intervals.shows_difference, found))
    assert wrong["alone"] / 150 > 0.2  # what comparing one by one does
    assert wrong["together"] <= stats.binom.ppf(0.999, 150, 0.08)
