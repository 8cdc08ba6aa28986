"""The figures of `offmap bench`: what they compare, at sizes that take seconds."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from algorithms.kit.networks import native_precision
from algorithms.mier import Mier, MierTrain
from suite.bench import measurement, run
from suite.bench import memory as bench_memory
from suite.bench import on_policy as bench_on_policy
from suite.bench import planning as bench_planning
from suite.bench import rl2 as bench_rl2
from suite.bench import scale as bench_scale
from suite.bench import simulation as bench_simulation
from suite.bench import training as bench_training
from suite.bench.measurement import PRODUCT_GFLOP, Figure, least_seconds
from suite.bench.random_source import RandomSource
from suite.results.records import SCHEMA
from suite.run.processes import worker_environment
from suite.run.saving import log_segments
from tasks.registry import get_family, make_batch


def test_a_figure_is_judged_in_its_own_direction():
    assert Figure("step", 50.0, "ms", 100.0).ratio == 0.5
    assert Figure("step", 50.0, "ms", 100.0).holds is True
    assert Figure("step", 101.0, "ms", 100.0).holds is False
    assert Figure("rate", 50.0, "steps/s", 100.0, at_least=True).holds is False
    assert Figure("rate", 150.0, "steps/s", 100.0, at_least=True).holds is True
    assert Figure("rate", 150.0, "steps/s").as_json() == {
        "name": "rate", "value": 150.0, "unit": "steps/s", "reference": None, "at_least": False, "note": "",
        "ratio": None, "holds": None,
    }  # fmt: skip


def test_the_least_time_counts_and_the_first_call_of_a_turn_does_not():
    costs = {"a": iter([1.0, 3.0, 2.0, 4.0, 1.0, 5.0, 5.0, 5.0]), "b": iter([1.0, 5.0, 6.0, 7.0, 1.0, 9.0, 4.0, 9.0])}
    now, order = [0.0], []

    def work(name):
        def run():
            order.append(name)
            now[0] += next(costs[name])

        return run

    least = least_seconds({"a": work("a"), "b": work("b")}, 2, lambda: now[0])
    assert least == {"a": 2.0, "b": 4.0}
    assert order == 2 * (["a"] * 4 + ["b"] * 4)  # they take turns


def test_limits_follow_the_rates_of_products():
    """Twice as long as the step's own products take, each at the rate of its precision."""
    limit, rates = bench_training.step_limit, {"fp32": 100.0, "bf16": 200.0}
    assert limit("PEARL step", {"fp32": 1.0, "bf16": 26.0}, rates) == pytest.approx(2 * (0.01 + 0.13))
    assert limit("MIER step", {"fp32": 7.0}, {"fp32": 100.0}) == pytest.approx(0.14)
    assert limit("MQL step", {"fp32": 7.0}, {"fp32": 210.0}) == pytest.approx(2 * 0.010)  # two steps
    assert limit(bench_training.MQL_SEVERAL, {}, {"fp32": 52.5}) == pytest.approx(8 * 0.160)  # four tasks, two steps


def test_operations_are_counted_by_precision_forwards_and_backwards():
    left, right = torch.ones(3, 4, requires_grad=True), torch.ones(4, 5)

    def work():
        (left @ right).sum().backward()
        torch.bmm(torch.ones(2, 3, 4, dtype=torch.bfloat16), torch.ones(2, 4, 5, dtype=torch.bfloat16))
        torch.addmm(torch.ones(5), torch.ones(3, 4), right, out=torch.empty(3, 5))

    counted = bench_training.gflop_by_precision(work)
    assert counted == pytest.approx({"fp32": 3 * 2 * 3 * 4 * 5 / 1e9, "bf16": 2 * 2 * 3 * 4 * 5 / 1e9})


def check_training_figures(device):
    figures = {figure.name: figure for figure in bench_training.training_figures(device, rounds=1)}
    names = {"fp32 product rate", "PEARL step", "MIER step", "adaptation step, 1 task", bench_training.SEVERAL}
    names |= {"MQL step", bench_training.MQL_SEVERAL}
    native = native_precision(torch.device(device).type) == "bf16"
    names |= {"bf16 product rate", "MIER step, bf16 model"} if native else set()
    assert set(figures) == names
    assert all(figure.value > 0 for figure in figures.values())
    assert figures["PEARL step"].note in ("1.1 fp32 and 25.8 bf16 GFLOP", "26.9 fp32 GFLOP")  # the public code's: 30.7
    return figures


def test_training_figures():
    figures = check_training_figures("cpu")
    for name in [name for name in figures if name.endswith("rate")]:
        assert figures.pop(name).holds is None
    assert all(figure.holds is not None for figure in figures.values())


def test_the_epoch_of_rl2_is_a_step_on_whole_trials(monkeypatch):
    monkeypatch.setattr(bench_rl2, "STEPS", 200)
    (figure,) = bench_rl2.rl2_figures(rounds=1, trials=3)
    assert (figure.name, figure.unit) == ("RL2 epoch", "s")
    assert 0 < figure.value < figure.reference < 10  # a hundredth of the trials
    weights = bench_rl2.epoch(torch.device("cpu"), 3)
    assert {name for name, value in weights().items() if value != value} == set()


def test_planning_figures():
    small = {"model_hidden": (32, 32), "candidates": 50}
    planning, step = bench_planning.planning_figures(rounds=1, **small)
    assert planning.name == bench_planning.PLANNING
    assert planning.value > 0 < step.value
    assert planning.holds is not None
    assert step.holds is None


def test_planning_is_timed_with_the_adaptation_and_at_the_stated_size():
    source = RandomSource(get_family(bench_planning.FAMILY), bench_planning.NUM_TASKS)
    config = bench_planning.GrbalTrain(steps_per_iteration=1, model_hidden=(8, 8), candidates=6)
    grbal = bench_planning.Grbal(config, source, seed=0, device=torch.device("cpu"), capacity=10_000)
    grbal.iterate()
    assert bench_planning.acting(grbal)().shape == (10, 6)
    assert bench_planning.planning_gflop(grbal) == pytest.approx(2 * (26 * 8 + 8 * 8 + 8 * 20) * 6 * 10 / 1e9)
    limit = bench_planning.planning_limit(grbal, 210.0)
    native = torch.cpu._is_avx512_bf16_supported()
    assert limit == pytest.approx(0.010 if native else 1.15 * bench_planning.planning_gflop(grbal) / 210)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_figures_on_a_gpu():
    figures = check_training_figures("cuda")
    assert all(figure.holds is None for figure in figures.values())  # the limits are for one core


def test_on_policy_figures(monkeypatch):
    """At sizes that take a moment: the limits are in units of the product rate, the outer steps start anew."""
    monkeypatch.setattr(
        bench_on_policy, "SIZES", {"tasks_per_iteration": 3, "rollouts_per_task": 2, "rollout_transitions": 10}
    )
    figures = bench_on_policy.on_policy_figures()
    assert [figure.unit for figure in figures] == ["steps/s", "s", "s"]
    assert all(figure.value > 0 for figure in figures)
    collection, promp, maml = (figure.reference for figure in figures)
    assert collection * promp == pytest.approx(20_000 * 2.5)
    assert maml / promp == pytest.approx(18 / 2.5)
    promp = bench_on_policy.on_policy_work()[bench_on_policy.PROMP]
    learner = promp.__closure__[[*promp.__code__.co_freevars].index("learner")].cell_contents
    states = []
    for _ in range(2):
        learner.optimiser.load_state([])
        promp()
        states.append([parameter.detach().clone() for parameter in learner.theta])
    assert all(torch.equal(left, right) for left, right in zip(*states))


def test_the_product_is_counted_right():
    left, right = torch.rand(2, measurement.PRODUCT_SIZE, measurement.PRODUCT_SIZE)
    assert bench_training.gflop(lambda: torch.mm(left, right)) == pytest.approx(PRODUCT_GFLOP)


def test_both_simulations_do_the_same_work(monkeypatch):
    """The raw loop and the batched environment end in the same physical state, so their times compare."""
    from mujoco import rollout

    monkeypatch.setattr(bench_simulation, "ROWS", 4)
    monkeypatch.setattr(bench_simulation, "STEPS", 20)
    monkeypatch.setattr(bench_simulation, "CHUNK", 2)
    environment = make_batch("ant-direction", 4)
    environment.set_tasks(np.zeros((4, 1)))
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 4, 8)).astype(np.float32)
    started = bench_simulation._start(environment)
    seen, original = [], rollout.rollout
    monkeypatch.setattr(bench_simulation.rollout, "rollout", lambda *given: seen.append(original(*given)[0]))
    bench_simulation._raw(environment, started, actions)()
    bench_simulation._batched(environment, actions)()
    raw = np.concatenate(seen)[:, -1]
    batched = np.concatenate([environment.qpos, environment.qvel], axis=1)
    assert np.abs(batched - started[:, 1:]).max() > 0.1
    np.testing.assert_array_equal(raw[:, 1:], batched)


def test_simulation_figures(monkeypatch):
    monkeypatch.setattr(bench_simulation, "rates", lambda split: (600.0 if "ant" in split else 700.0, 1000.0))
    figures = {figure.name: figure for figure in bench_simulation.simulation_figures()}
    assert figures["cheetah environment"].holds is True
    assert figures["cheetah environment"].reference == pytest.approx(650.0)
    assert figures["ant environment"].holds is False
    monkeypatch.undo()
    monkeypatch.setattr(bench_simulation, "STEPS", 10)
    batched, raw = bench_simulation.rates("cheetah-velocity.standard", rounds=1)
    assert 0.1 < batched / raw < 1.5


@pytest.mark.parametrize("transitions", [200, 450])
def test_a_random_source_collects_exactly_what_was_asked_for(transitions):
    source = RandomSource(get_family("cheetah-velocity"), 5)
    asked = []
    batch = source.collect(lambda observations: observations, [3, 1], transitions, asked.append)
    assert source.steps == 2 * transitions
    for row, task in enumerate((3, 1)):
        assert batch.lengths[batch.rows == row].sum() == transitions
        assert set(batch.tasks[batch.rows == row]) == {task}
    episodes = -(-transitions // 200)
    assert len(asked) == episodes
    assert batch.observations.shape == (2 * episodes, 201, 20)
    assert batch.actions.shape == (2 * episodes, 200, 6)
    assert np.abs(batch.actions).max() <= 1
    assert not source.terminated(batch.observations).any()


def test_the_limit_of_memory_leaves_room_beside_what_the_transitions_take():
    """1.5M of the humanoid's 376 + 17 + 2 numbers; the cheetah's 20 + 6 + 2 take a fourteenth."""
    assert bench_memory.frames_gb("humanoid-direction", 1_500_000) == pytest.approx(2.37)
    assert bench_memory.frames_gb("cheetah-velocity", 1_500_000) == pytest.approx(0.168)


@pytest.mark.slow
def test_memory_and_checkpoints_of_a_small_run():
    command = [sys.executable, "-P", "-m", "suite.bench.memory", "cheetah-velocity", "60000"]
    done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=True)
    found = json.loads(done.stdout)
    assert 0.2 < found["memory"] < 1.5
    assert 0 < found["checkpoints"] < 2


def test_a_checkpoint_is_timed_with_what_is_new_alone(monkeypatch):
    """The replay is written once: later checkpoints find it there and add their own segment."""
    source = RandomSource(get_family("point-goal"), 5)
    small = {"initial_transitions": 40, "prior_transitions": 20, "adapted_transitions": 20, "steps_per_iteration": 1}
    shape = {"policy_hidden": (8, 8), "model_hidden": (8, 8), "task_batch": 5, "meta_batch": 2}
    algorithm = Mier(MierTrain(**small | shape), source, seed=0, device=torch.device("cpu"), capacity=5000)
    algorithm.iterate()
    held, rows, original = len(algorithm.log()), [], log_segments.save_tensors

    def save(tensors, path, metadata=None):
        rows.extend(len(tensors["rows"]) for _ in range("rows" in tensors))
        original(tensors, path, metadata)

    monkeypatch.setattr(log_segments, "save_tensors", save)
    share = bench_memory.checkpoint_share(algorithm, source, new=150)
    assert 0 < share < 0.02
    assert rows[0] == held >= 5 * 40
    assert all(150 <= number < 150 + 100 for number in rows[1:])
    assert len(rows) == 1 + bench_memory.CHECKPOINTS


def test_scale_figures():
    """With few runs: the commands answer, and limits follow the product rate."""
    figures = {figure.name: figure for figure in bench_scale.scale_figures(runs=20, records=60)}
    assert list(figures) == ["offmap plan", "offmap status", "offmap collect", "memory, offmap collect"]
    assert all(figure.value > 0 and figure.holds is not None for figure in figures.values())
    assert figures["offmap collect"].reference == pytest.approx(20 * figures["offmap status"].reference)
    assert figures["memory, offmap collect"].reference == 2.0


def test_invented_records_are_records(tmp_path):
    table = bench_scale.invented_records(1000)
    assert table.schema.equals(SCHEMA)
    rows = table.select(["task_list", "task", "phase", "update", "episode"]).to_pylist()
    assert len({tuple(row.values()) for row in rows}) == 1000


@pytest.mark.slow
def test_report_figures():
    from suite.bench.report import report_figures

    time_taken, memory = report_figures(seeds=1, splits=("cheetah-velocity.hard",))
    assert (time_taken.name, time_taken.unit, memory.unit) == ("report", "s", "GB")
    assert 0.1 < time_taken.value < 600
    assert 1 < time_taken.reference < 1200
    assert 0.1 < memory.value < 1.5
    # 8 variants; three checkpoints with 2 x 10 tasks x 3 episodes, a last one with 2 x 30, evaluated 2 or (two) 4 times
    assert time_taken.note.startswith(f"{(3 * 60 + 180) * (6 * 2 + 2 * 4):,} rows")


def test_a_report_that_fails_shows_what_it_printed(tmp_path):
    from suite.bench.report import measured

    with pytest.raises(RuntimeError, match=r"(?s)the report failed:.*no results to report"):
        measured([str(tmp_path / "nowhere"), str(tmp_path)])


def test_a_failing_measurement_shows_what_it_printed():
    with pytest.raises(RuntimeError, match=r"(?s)measuring training failed:.*no-such-device"):
        run.run_bench(("training",), "no-such-device")


def test_the_command_prints_one_document_and_fails_with_a_broken_limit(offmap, monkeypatch):
    figures = [Figure("fp32 product rate", 100.0, "GFLOP/s"), Figure("PEARL step", 50.0, "ms", 100.0)]
    monkeypatch.setattr("suite.bench.run.run_bench", lambda **named: figures)
    answer = offmap("bench", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["figures"][1]["ratio"] == 0.5
    figures.append(Figure("offmap --help", 1.0, "s", 0.5, note="processor time"))
    answer = offmap("bench", "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["holds"] is False
    answer = offmap("bench")
    assert answer.code == 1
    assert "BROKEN" in answer.out
    assert "limits that do not hold here: 1" in answer.out
