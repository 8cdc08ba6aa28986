"""Verdicts on claims follow from intervals alone, and say so where these decide nothing."""

import numpy as np
import pytest

from reports.numbers import claims
from reports.numbers.claims import CONTRADICTED, NO_DATA, NOT_DECIDED, SUPPORTED, verdict, verdicts
from reports.numbers.intervals import NO_ESTIMATE, Estimate
from reports.reading.load import load

HARD = "cheetah-velocity.hard"


@pytest.mark.parametrize(("low", "high", "expected"), [
    (1.0, 3.0, SUPPORTED), (-3.0, -1.0, CONTRADICTED), (-1.0, 3.0, NOT_DECIDED), (0.0, 3.0, NOT_DECIDED),
    (np.nan, np.nan, NOT_DECIDED),
])  # fmt: skip
def test_an_ordering_is_decided_by_an_interval_without_zero(low, high, expected):
    assert verdict(Estimate(1.0, low, high, 3)) == expected


@pytest.mark.parametrize(("low", "high", "expected"), [
    (-9.0, 9.0, SUPPORTED), (-11.0, 9.0, NOT_DECIDED), (10.5, 12.0, CONTRADICTED), (-30.0, -11.0, CONTRADICTED),
    (9.0, 12.0, NOT_DECIDED), (np.nan, np.nan, NOT_DECIDED),
])  # fmt: skip
def test_about_the_same_means_within_the_margin(low, high, expected):
    assert verdict(Estimate((low + high) / 2, low, high, 3), about=True, margin=10.0) == expected


def test_without_a_scale_nothing_is_about_the_same():
    assert verdict(Estimate(0.0, -1.0, 1.0, 3), about=True, margin=float("nan")) == NOT_DECIDED


def test_without_results_there_is_no_verdict():
    assert verdict(NO_ESTIMATE) == NO_DATA


def test_the_verdicts_of_a_table(tmp_path, synthetic):
    for seed, noise in enumerate((-4.0, 0.0, 4.0)):
        for variant, level in (("mier", -200), ("pearl", -100), ("domain-randomised", -400), ("mql", -203)):
            synthetic.simple_run(tmp_path, variant, seed, [[level + noise] * 2, [level - 10 + noise] * 2])
    table = verdicts(load(tmp_path)).set_index("claim")
    assert set(table["split"]) == {HARD}
    said = table["verdict"].to_dict()
    assert said[f"mier does better than pearl on {HARD} (test)"] == CONTRADICTED
    assert said[f"mier does better than domain-randomised on {HARD} (test)"] == SUPPORTED
    assert said[f"mier does better than mql on {HARD} (test)"] == NOT_DECIDED
    assert said[f"mier does better than mier-wr on {HARD} (test)"] == NO_DATA
    row = table.loc[f"mier does better than pearl on {HARD} (test)"]
    assert row["mean"] == pytest.approx(-100)
    assert (row["n"], row["env_steps"], row["source"]) == (3, "1000", claims.PAPER)
    # Welch, by hand: both deviate by 4, so the error is 4 sqrt(2/3) with 4 degrees of freedom, and t is 2.776.
    assert row["high"] - row["low"] == pytest.approx(2 * 2.7764 * 4 * np.sqrt(2 / 3), rel=1e-3)


def test_a_variant_under_a_label_of_its_own_does_not_speak_for_its_algorithm(tmp_path, synthetic):
    for seed in (0, 1):
        synthetic.simple_run(tmp_path, "pearl", seed, [[-300.0], [-310.0]])
        row = {"variant": "mier tuned", "algorithm": "mier", "return": -100.0 - seed}
        synthetic.write_run(tmp_path, [row], synthetic.document("mier tuned", seed, algorithm="mier"))
    table = verdicts(load(tmp_path)).set_index("claim")
    assert table.loc[f"mier does better than pearl on {HARD} (test)", "verdict"] == NO_DATA


def test_every_claim_names_registered_algorithms_and_splits():
    from algorithms.registry import ALGORITHMS
    from tasks.registry import splits

    names = {split.full_name for split in splits()}
    for claim in claims.PAPER_CLAIMS:
        assert {claim.first, claim.second} <= ALGORITHMS.keys()
        assert claim.split in names
    assert set(claims.SPLITS) <= names
    for first, others in claims.QUESTIONS.values():
        assert {first, *others, claims.BLIND} <= ALGORITHMS.keys()
