"""Plans and the costs behind them."""

from pathlib import Path

import pytest

from suite import calibration
from suite.experiment.expansion import expand
from suite.plan import Plan, PlannedTraining, make_plan
from suite.run.timing import Cost, TrainingCost, TrialCost

TRAINING = TrainingCost(first_env_steps=200, first_seconds=5.0, iteration_env_steps=100, iteration_seconds=10.0)
TRIAL = TrialCost(tasks=10, fixed=3.0, per_update=0.1, per_round=2.0, round_updates=500, updates=1200,
                  per_evaluation=1.0, evaluations=2)  # fmt: skip


def test_hours_are_those_of_the_busiest_worker():
    def plan(workers, *hours):
        trainings = [PlannedTraining("x", "y", 1, 1, 1, 1, each) for each in hours]
        return Plan("name", Path("out"), workers, [], trainings)

    assert plan(2, 3.0, 1.0, 1.0, 4.0).hours == 6.0
    assert plan(1, 3.0, 1.0).hours == 4.0
    assert plan(9, 3.0, 1.0).hours == 3.0
    assert plan(2, 3.0, None).hours is None
    assert plan(2).hours == 0.0


def test_a_training_in_the_middle_has_the_rest_to_do(tiny_experiment, tmp_path, monkeypatch):
    experiment = tiny_experiment(["mier", "mier-wr"], seeds=(0, 1))
    asked = []

    def estimate(training, metatest, device, on_timing):
        asked.append(metatest.algorithm)
        on_timing("iterations" if metatest.algorithm == "mier-wr" else "")
        return Cost(training=TRAINING, trial=TRIAL)

    monkeypatch.setattr(calibration, "estimate", estimate)
    hashes = list(dict.fromkeys(cell.training.hash for cell in expand(experiment)))
    for name in ("000000000800", "000000001200", ".000000001600.partial"):
        (tmp_path / hashes[1] / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "experiment.json").write_text('{"name": "tiny"}')
    said = []
    fresh, begun = make_plan(experiment, tmp_path, 1, calibrate=True, say=said.append).trainings
    timing = f"timing {fresh.label}"
    assert said[:2] == [timing, f"{timing}, whole iterations: its configuration does not declare what they are made of"]
    assert asked == ["mier", "mier-wr"] * 2
    assert (fresh.env_steps_left, begun.env_steps_left) == (1600, 400)
    tests = 2 * TRIAL.seconds * 20 / 10
    assert fresh.hours == pytest.approx((5.0 + 14 * 10.0 + tests) / 3600)
    assert begun.hours == pytest.approx((4 * 10.0 + tests) / 3600)


@pytest.mark.parametrize("native", ["bf16", "fp32"])
def test_a_machine_without_bfloat16_is_told_that_lite_takes_longer(tiny_experiment, tmp_path, monkeypatch, native):
    monkeypatch.setattr("algorithms.kit.networks.native_precision", lambda device_type: native)
    plan = make_plan(tiny_experiment(["pearl"]), tmp_path, 1, calibrate=False)
    assert any("does not multiply bfloat16 natively" in line for line in plan.summary()) == (native == "fp32")


def test_a_plan_says_where_there_will_be_no_scores_and_how_to_have_them(tiny_experiment, tmp_path):
    own = {"family": "point-goal", "name": "mine", "shift": "out_of_distribution", "adaptation_transitions": 40,
           "train": {"values": [0.0, 1.0]}, "test": {"values": [2.0]}}  # fmt: skip

    def last_sentence(algorithms, **changes):
        experiment = tiny_experiment(algorithms, split="point-goal.mine", own_splits=[own | changes])
        return make_plan(experiment, tmp_path, 1, calibrate=False).summary()[-1]

    said = last_sentence(["random"])
    assert said.startswith("no scores on point-goal.mine: nothing says what the zero action returns there; run the ref")
    assert "no scores" not in last_sentence(["random", "null"])
    assert "no scores" not in last_sentence(["random"], null_return=0.0)
