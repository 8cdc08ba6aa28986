"""Plans and the costs behind them."""

from pathlib import Path

import pytest

from suite import calibration
from suite.calibration import Cost, TrainingCost, TrialCost, time_pieces
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.plan import Plan, PlannedTraining, make_plan

TRAINING = TrainingCost(first_env_steps=200, first_seconds=5.0, iteration_env_steps=100, iteration_seconds=10.0)
TRIAL = TrialCost(tasks=10, fixed=3.0, per_update=0.1, repeated=2.0, repeat_every=500, updates=1200,
                  per_evaluation=1.0, evaluations=2)  # fmt: skip


def test_training_cost_counts_whole_iterations():
    assert TRAINING.seconds(1000) == 5.0 + 8 * 10.0
    assert TRAINING.seconds(1099) == 5.0 + 8 * 10.0  # an iteration that would overshoot is not started
    assert TRAINING.seconds(1000, done=600) == 4 * 10.0
    assert TRAINING.seconds(200) == 5.0
    assert TRAINING.seconds(1000, done=1000) == 0.0


def test_trial_cost_pays_the_repeated_part_when_it_is_due():
    assert TRIAL.seconds == pytest.approx(3.0 + 120.0 + 3 * 2.0 + 2.0)
    assert TRIAL.model_copy(update={"updates": 0, "evaluations": 0}).seconds == 3.0


def test_a_metatest_costs_by_the_tasks_of_its_lists(tiny_experiment):
    (cell,) = expand(tiny_experiment(["mier"], protocol={"max_tasks": 7}))
    cost = Cost(training=TRAINING, trial=TRIAL)
    assert cost.metatest_seconds(cell.metatests[0]) == pytest.approx(TRIAL.seconds * 14 / 10)


def test_hours_are_those_of_the_busiest_worker():
    def plan(workers, *hours):
        trainings = [PlannedTraining("x", "y", 1, 1, 1, 1, each) for each in hours]
        return Plan("name", Path("out"), workers, [], trainings)

    assert plan(2, 3.0, 1.0, 1.0, 4.0).hours == 6.0
    assert plan(1, 3.0, 1.0).hours == 4.0
    assert plan(9, 3.0, 1.0).hours == 3.0
    assert plan(2, 3.0, None).hours is None
    assert plan(2).hours == 0.0


@pytest.mark.parametrize("name", ["mier", "pearl"])
def test_pieces_are_timed(tiny_experiment, name):
    (cell,) = expand(tiny_experiment([name]))
    cost = time_pieces(cell.training, cell.metatests[-1], "cpu")
    assert cost.training.first_env_steps == 40 * 20
    assert cost.training.iteration_env_steps == 5 * (40 if name == "mier" else 60)
    assert 0 < cost.training.iteration_seconds < 5
    assert cost.trial.tasks == 10
    assert cost.trial.fixed > 0
    assert cost.trial.updates == (6 if name == "mier" else 0)


def test_gradient_steps_that_grow_in_number_are_timed_in_full_number():
    """MQL takes as many as a horizon has steps until its replay holds enough; a plan has to count what comes after."""
    variants = [
        {"name": "mql", "label": f"{steps} steps", "train": {"steps_per_iteration": steps, "full_steps_from": 2000}}
        for steps in (20, 400)
    ]
    experiment = Experiment(name="x", splits=("point-goal.ood",), algorithms=variants, budget={"env_steps": 4000})
    few, many = (time_pieces(cell.training, cell.metatests[-1], "cpu") for cell in expand(experiment))
    assert many.training.iteration_seconds > 4 * few.training.iteration_seconds
    assert few.trial.updates == many.trial.updates == 80


def test_a_training_in_the_middle_has_the_rest_to_do(tiny_experiment, tmp_path, monkeypatch):
    experiment = tiny_experiment(["mier", "mier-wr"], seeds=(0, 1))
    asked = []

    def estimate(training, metatest, device, on_timing):
        asked.append(metatest.algorithm)
        return Cost(training=TRAINING, trial=TRIAL)

    monkeypatch.setattr(calibration, "estimate", estimate)
    hashes = list(dict.fromkeys(cell.training.hash for cell in expand(experiment)))
    for name in ("000000000800", "000000001200", ".000000001600.partial"):
        (tmp_path / hashes[1] / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "experiment.json").write_text('{"name": "tiny"}')
    fresh, begun = make_plan(experiment, tmp_path, 1, calibrate=True).trainings
    assert asked == ["mier", "mier-wr"] * 2
    assert (fresh.env_steps_left, begun.env_steps_left) == (1600, 400)
    tests = 2 * TRIAL.seconds * 20 / 10
    assert fresh.hours == pytest.approx((5.0 + 14 * 10.0 + tests) / 3600)
    assert begun.hours == pytest.approx((4 * 10.0 + tests) / 3600)
