"""What is timed of a training and a meta-test, and what it amounts to."""

import pytest

from algorithms.mier import MierAdapt
from algorithms.pearl import PearlTrain
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.run import metatest, timing
from suite.run.timing import Cost, TrainingCost, TrialCost, time_pieces

TRAINING = TrainingCost(first_env_steps=200, first_seconds=5.0, iteration_env_steps=100, iteration_seconds=10.0)
TRIAL = TrialCost(tasks=10, fixed=3.0, per_update=0.1, per_round=2.0, round_updates=500, updates=1200,
                  per_evaluation=1.0, evaluations=2)  # fmt: skip


def test_training_cost_counts_whole_iterations():
    assert TRAINING.seconds(1000) == 5.0 + 8 * 10.0
    assert TRAINING.seconds(1099) == 5.0 + 8 * 10.0  # an iteration that would overshoot is not started
    assert TRAINING.seconds(1000, done=600) == 4 * 10.0
    assert TRAINING.seconds(200) == 5.0
    assert TRAINING.seconds(1000, done=1000) == 0.0


def test_trial_cost_pays_the_rounds_that_are_begun():
    assert TRIAL.seconds == pytest.approx(3.0 + 120.0 + 3 * 2.0 + 2.0)
    assert TRIAL.model_copy(update={"updates": 0, "evaluations": 0}).seconds == 3.0


def test_a_metatest_costs_by_the_tasks_of_its_lists(tiny_experiment):
    (cell,) = expand(tiny_experiment(["mier"], protocol={"max_tasks": 7}))
    cost = Cost(training=TRAINING, trial=TRIAL)
    assert cost.metatest_seconds(cell.metatests[0]) == pytest.approx(TRIAL.seconds * 14 / 10)


@pytest.mark.parametrize("name", ["mier", "pearl"])
def test_pieces_are_timed(tiny_experiment, name):
    (cell,) = expand(tiny_experiment([name]))
    cost = time_pieces(cell.training, cell.metatests[-1], "cpu")
    assert cost.training.first_env_steps == 40 * 20
    assert cost.training.iteration_env_steps == 5 * (40 if name == "mier" else 60)
    assert 0 < cost.training.iteration_seconds < 60
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


@pytest.fixture
def stopwatch(monkeypatch):
    """Timing by a clock that shows the gradient steps and updates that were asked for: what was timed, in order."""
    timed = []
    run_trial = metatest.run_trial

    def trial(*arguments):
        timed.append(("updates", arguments[2].max_updates, arguments[1].config))
        return run_trial(*arguments)

    monkeypatch.setattr(metatest, "run_trial", trial)

    def seconds(rehearsal, function):
        before = len(timed)
        function()
        if len(timed) == before:  # an iteration
            timed.append(("iteration", function.__self__.config.gradient_steps, function.__self__.config))
            return 7.0 + 2.0 * (timed[-1][1] or 50)
        return 3.0 + 5.0 * bool(timed[-1][1]) + 0.5 * timed[-1][1]

    monkeypatch.setattr(timing._Rehearsal, "timed", seconds)
    return timed


def pieces_of(experiment):
    (cell,) = expand(experiment)
    return time_pieces(cell.training, cell.metatests[-1], "cpu")


def test_declared_costs_are_timed_by_small_pieces(tiny_experiment, stopwatch):
    """7 s and 2 s per gradient step make 1,007 s of 500; 3 s, 5 s per round of 40 and 0.5 s per update of 100."""
    adapt = {"relabel_updates": 100, "relabel_interval": 40, "gate": "total", "stop_patience": 1}
    cost = pieces_of(tiny_experiment(["mier"], train={"steps_per_iteration": 500}, adapt=adapt))
    assert [number for kind, number, _ in stopwatch if kind == "iteration"] == [1, 2, 12]
    assert [number for kind, number, _ in stopwatch if kind == "updates"] == [0, 1, 11]
    assert cost.training.iteration_seconds == pytest.approx(1007.0)
    trial = cost.trial
    assert (trial.per_update, trial.per_round, trial.round_updates) == (pytest.approx(0.5), pytest.approx(5.0), 40)
    assert trial.model_copy(update={"evaluations": 0}).seconds == pytest.approx(3.0 + 3 * 5.0 + 50.0)
    assert (stopwatch[-1][2].gate, stopwatch[-1][2].stop_patience) == ("none", None)  # the most that it can cost


@pytest.mark.parametrize(("each", "counted"), [(2.0, [2, 12]), (0.1, [2, 12, 120]), (0.01, [2, 12, 120, 1000])])
def test_steps_are_counted_until_they_show_beside_the_rest(each, counted):
    """A planner's ten seconds of collecting: a tenth of a second of noise would make a thousand steps take ten."""
    asked, noise = [], iter([0.1, -0.1, 0.1, -0.1])

    def seconds_of(number):
        asked.append(number)
        return 10.0 + each * number + next(noise)

    per_step, others = timing._line(seconds_of, steps=1000)
    assert asked == counted
    assert others + 1000 * per_step == pytest.approx(10.0 + 1000 * each, rel=0.02)


@pytest.mark.parametrize("interval", [500, 11, 6, 4, 2])
def test_rounds_that_are_shorter_than_a_rehearsal_are_told_from_updates(interval):
    rounds = -(-timing.MORE_UPDATES // interval)
    seconds = timing._parts(5.0 + 0.5, rounds * 5.0 + timing.MORE_UPDATES * 0.5, rounds)
    assert seconds == (pytest.approx(0.5), pytest.approx(5.0))


def test_where_each_update_is_a_round_they_count_together():
    assert timing._parts(5.5, 60.5, timing.MORE_UPDATES) == (pytest.approx(5.5), 0.0)


def test_where_nothing_is_declared_whole_iterations_and_adaptations_are_timed(tiny_experiment, stopwatch, monkeypatch):
    """Whatever the fields are called."""
    monkeypatch.setattr(PearlTrain, "gradient_steps", None)
    monkeypatch.setattr(MierAdapt, "updates_per_round", None)
    cost = pieces_of(tiny_experiment(["pearl"], train={"steps_per_iteration": 30}))
    assert [config.steps_per_iteration for kind, _, config in stopwatch if kind == "iteration"] == [30, 30]
    assert cost.training.iteration_seconds == cost.training.first_seconds == 107.0
    stopwatch.clear()
    cost = pieces_of(tiny_experiment(["mier"], adapt={"relabel_updates": 100}))
    assert [number for kind, number, _ in stopwatch if kind == "updates"] == [0, 100]
    assert cost.trial.model_copy(update={"evaluations": 0}).seconds == pytest.approx(3.0 + 5.0 + 50.0)


def test_an_adaptation_as_short_as_its_rehearsal_is_timed_whole(tiny_experiment, stopwatch):
    cost = pieces_of(tiny_experiment(["mier"], adapt={"relabel_updates": 7}))
    assert [number for kind, number, _ in stopwatch if kind == "updates"] == [0, 7]
    assert cost.trial.seconds == pytest.approx(3.0 + 5.0 + 3.5 + 2 * 1.0)  # and an evaluation after 3 and after 6


def test_an_exploration_is_not_shortened_below_what_a_batch_needs(tiny_experiment):
    """Five test tasks of 20 steps each hold less than the oracle's batch of 256."""
    own = {"family": "point-goal", "name": "few", "shift": "out_of_distribution", "adaptation_transitions": 40,
           "train": {"same_as": "point-goal.ood.train"}, "test": {"values": [4.8, 4.9, 5.0]},
           "test_id": {"values": [0.1, 0.2]}}  # fmt: skip
    experiment = tiny_experiment(["oracle"], split="point-goal.few", own_splits=[own], train={
        "initial_transitions": 60, "batch": 256, "hidden": [8, 8]})  # fmt: skip
    assert pieces_of(experiment).training.first_env_steps == 5 * 60
