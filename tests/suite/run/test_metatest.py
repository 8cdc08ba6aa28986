"""Tests that catch a comparison which only looks real."""

import numpy as np
import pandas as pd
import pytest
import torch
from tests_support import TINY_ADAPT, build_algorithm

import suite.run.metatest
import suite.run.rollout
from algorithms.kit.off_policy.sac import SoftActorCritic
from algorithms.mier import MierAdapt
from algorithms.registry import get_algorithm
from suite.experiment.presets import resolve_blocks
from suite.experiment.specs import EvaluationProtocol, MetatestSpec
from suite.run.metatest import Meters, Trial, adaptation_transitions, run_trial, trials_of
from suite.run.rollout import Meter
from tasks.registry import get_family, get_split, make_batch

SPLIT = get_split("point-goal.ood")


@pytest.fixture(scope="module")
def trained():
    """Meta-trainings a few iterations old, so that weights are no longer symmetric."""
    algorithms = {}
    for training in ("mier", "pearl"):
        algorithms[training] = build_algorithm(training, SPLIT.full_name)
        for _ in range(4):
            algorithms[training].iterate()
    return algorithms


def trial_of(list_name="test", number=3):
    return Trial(get_family(SPLIT.family), list_name, SPLIT.tasks(list_name)[:number], "0123456789ab")


def run(trained, name, protocol=None, adapt=None, trial=None, transitions=40):
    entry = get_algorithm(name)
    config = entry.load("adapt").model_validate(TINY_ADAPT[name] | (adapt or {}))
    trial = trial or trial_of()
    agent = trained[entry.training].agent(config, trial.agent_seed)
    meters = Meters(Meter(), Meter())
    rows, diagnostics = run_trial(trial, agent, protocol or EvaluationProtocol(evaluate_every=3), transitions, meters)
    return pd.DataFrame(rows), pd.DataFrame(diagnostics), meters, agent


def returns(rows, phase, update=None):
    chosen = rows[rows.phase == phase]
    chosen = chosen if update is None else chosen[chosen["update"] == update]
    return chosen.sort_values(["task", "episode"])["return"].to_numpy()


def test_mier_and_mier_wr_are_paired_until_relabeling_begins(trained):
    with_relabeling, _, _, _ = run(trained, "mier")
    without, _, _, _ = run(trained, "mier-wr")
    for phase in ("before", "collect"):
        assert (returns(with_relabeling, phase) == returns(without, phase)).all()
    assert (returns(with_relabeling, "during", 0) == returns(without, "after")).all()


def test_without_a_gate_fine_tuning_changes_policies_and_records(trained):
    opened, diagnostics, _, agent = run(trained, "mier")
    without, _, _, _ = run(trained, "mier-wr")
    assert not diagnostics.name.str.startswith("gate").any()
    assert (returns(opened, "after") != returns(without, "after")).all()
    meta_trained = trained["mier"].sac.policy
    for task in range(3):
        assert all((tuned[task] != start[0]).any() for tuned, start in zip(agent.policy, meta_trained))


@pytest.mark.parametrize("split", ["point-goal.ood", "point-dynamics.ood"])
def test_with_random_weights_mier_relabels_by_default(split):
    """What no model explains is relabeled all the same, as in the released code: MIER's records are not MIER-wR's."""
    algorithm, split = build_algorithm("mier", split), get_split(split)
    algorithm.iterate()  # the initial exploration: nothing is learnt yet
    trial = Trial(get_family(split.family), "test", split.tasks("test")[:3], "0123456789ab")
    records = {}
    for name, own in (("mier", {"relabel_updates": 6, "relabel_transitions": 200}), ("mier-wr", {})):
        _, adapt = resolve_blocks(get_algorithm(name), split, None, {}, own, "cpu")
        agent = algorithm.agent(adapt, trial.agent_seed)
        rows, diagnostics = run_trial(trial, agent, EvaluationProtocol(evaluate_every=3), 40, Meters(Meter(), Meter()))
        records[name] = pd.DataFrame(rows), pd.DataFrame(diagnostics)
    judged = records["mier"][1]
    assert (judged[judged.name == "held_out_loss"].value > -3).all()  # which closed the gate of earlier defaults
    assert (returns(records["mier"][0], "during", 0) == returns(records["mier-wr"][0], "after")).all()
    assert (returns(records["mier"][0], "after") != returns(records["mier-wr"][0], "after")).all()


def test_where_the_gate_closes_the_task_keeps_the_policy_and_it_is_recorded(trained):
    closed, diagnostics, _, agent = run(trained, "mier", adapt={"gate": "total", "gate_threshold": -1e9})
    without, _, _, _ = run(trained, "mier-wr")
    assert set(diagnostics[diagnostics.name == "gate_open"].value) == {0.0}
    assert (returns(closed, "after") == returns(without, "after")).all()
    pairs = zip(agent.policy, trained["mier"].sac.policy)
    assert all((task == start[0]).all() for tuned, start in pairs for task in tuned)


def test_the_gate_judges_tasks_one_by_one(trained):
    _, diagnostics, _, _ = run(trained, "mier", adapt={"gate": "total"})
    losses = diagnostics[diagnostics.name == "gate_loss"].sort_values("task").value.to_numpy()
    between = float(np.sort(losses)[:2].mean())
    rows, mixed, _, _ = run(trained, "mier", adapt={"gate": "total", "gate_threshold": between})
    gates = mixed[mixed.name == "gate_open"].sort_values("task").value.to_numpy()
    assert (gates == (losses < between)).all()
    assert gates.sum() == 1
    closed = np.repeat(gates == 0, 3)
    change = np.abs(returns(rows, "after") - returns(rows, "during", 0))
    assert (change[closed] < 1e-5).all()  # the same policy, but in a batch of another shape
    assert (change[~closed] > 1e-4).all()


def test_a_stop_rule_keeps_the_whole_curve_and_ends_each_task_with_its_best_policy(trained, monkeypatch):
    """Errors before and after each update are given: task 0 never improves, task 1 until 2, task 2 to the end."""
    errors = iter([[1, 9, 9], [2, 8, 8], [2, 7, 7], [2, 9, 6], [2, 9, 5], [0, 0, 4], [0, 0, 3]])
    monkeypatch.setattr(SoftActorCritic, "bellman_error", lambda *arguments: torch.tensor(next(errors)).float())
    rows, diagnostics, _, agent = run(trained, "mier", adapt={"stop_patience": 2, "stop_interval": 1})
    kept = diagnostics[diagnostics.name == "policy_update"].pivot(index="task", columns="update", values="value")
    assert kept.to_numpy().tolist() == [[0, 0], [2, 2], [3, 6]]  # at 3 and at 6 updates, the points that are evaluated
    values = [returns(rows, "during", 0), returns(rows, "during", 3), returns(rows, "after", 6)]
    early, middle, late = (np.split(value, 3) for value in values)  # three episodes of each task
    np.testing.assert_allclose(early[0], middle[0], atol=1e-5)  # the same policy, in a batch of another shape
    assert (middle[0] == late[0]).all()
    assert (early[1] != middle[1]).all()
    assert (middle[1] == late[1]).all()
    assert (middle[2] != late[2]).all()
    assert all((tuned[0] == start[0]).all() for tuned, start in zip(agent.policy, trained["mier"].sac.policy))


@pytest.mark.parametrize("split", ["point-goal.ood", "point-dynamics.ood"])
def test_the_rewards_of_meta_training_never_reach_fine_tuning(split):
    """The stored true rewards of the replay poisoned after training: the adapted policies are the same, bit by bit."""
    split = get_split(split)
    algorithm = build_algorithm("mier", split.full_name)
    for _ in range(3):
        algorithm.iterate()
    trial = Trial(get_family(split.family), "test", split.tasks("test")[:3], "0123456789ab")
    column = algorithm.store.spaces.observation_dim + algorithm.store.spaces.action_dim
    policies = []
    for poison in (0.0, 1e6, float("nan")):
        algorithm.store.frames[:, column] += poison
        agent = algorithm.agent(MierAdapt(**TINY_ADAPT["mier"]), trial.agent_seed)
        run_trial(trial, agent, EvaluationProtocol(evaluate_every=3), 40, Meters(Meter(), Meter()))
        policies.append(agent.policy)
    assert len(policies[0][0]) == 3  # fine-tuned, one per task
    assert bool(algorithm.store.frames[:, column].isnan().all())
    for poisoned in policies[1:]:
        assert all(torch.equal(left, right) for left, right in zip(policies[0], poisoned))


@pytest.mark.parametrize("name", ["mier", "pearl"])
def test_relabeling_never_sees_true_rewards_after_the_adaptation_data(trained, name, monkeypatch):
    """Poison the environment's reward once the adaptation data are collected: adapted weights stay bit-identical."""
    clean_rows, _, _, clean = run(trained, name)
    poisoned_now = False
    original = suite.run.rollout.collect

    def poisoned_environment(family, rows):
        environment = make_batch(family, rows)
        step = environment.step

        def poisoned_step(actions, active=None):
            result = step(actions, active)
            return result._replace(rewards=result.rewards + 1000) if poisoned_now else result

        environment.step = poisoned_step
        return environment

    def collect(*arguments, transitions, **keywords):
        nonlocal poisoned_now
        batch = original(*arguments, transitions=transitions, **keywords)
        poisoned_now = poisoned_now or transitions is not None
        return batch

    monkeypatch.setattr(suite.run.metatest, "make_batch", poisoned_environment)
    monkeypatch.setattr(suite.run.metatest, "collect", collect)
    rows, _, _, agent = run(trained, name)
    assert (returns(rows, "after") > returns(clean_rows, "after") + 1000).all()
    pairs = zip(agent.policy, clean.policy) if name == "mier" else [(agent.mean, clean.mean)]
    assert all(torch.equal(left, right) for left, right in pairs)


@pytest.mark.parametrize("name", ["mier", "mier-wr", "pearl"])
def test_the_first_evaluation_episode_does_not_depend_on_how_many_there_are(trained, name):
    one, _, _, _ = run(trained, name, EvaluationProtocol(evaluation_episodes=1, evaluate_every=3))
    five, _, _, _ = run(trained, name, EvaluationProtocol(evaluation_episodes=5, evaluate_every=3))
    for phase in ("before", "after"):
        many = five[(five.phase == phase) & (five.episode == 0)].sort_values("task")["return"].to_numpy()
        np.testing.assert_allclose(returns(one, phase), many, rtol=1e-5)


@pytest.mark.parametrize("name", ["mier", "pearl"])
@pytest.mark.parametrize("transitions", [40, 50])
def test_an_independent_counter_reads_exactly_the_adaptation_budget(trained, name, transitions, monkeypatch):
    counted = {}

    def counting_environment(family, rows):
        environment = make_batch(family, rows)
        step, key = environment.step, len(counted)
        counted[key] = np.zeros(rows, int)

        def counting_step(actions, active=None):
            counted[key] += np.ones(rows, int) if active is None else active.astype(int)
            return step(actions, active)

        environment.step = counting_step
        return environment

    monkeypatch.setattr(suite.run.metatest, "make_batch", counting_environment)
    rows, _, meters, _ = run(trained, name, transitions=transitions)
    evaluation, adaptation = counted[0], counted[1]
    assert (adaptation == transitions).all()
    assert meters.adaptation.steps == adaptation.sum() == 3 * transitions
    assert meters.evaluation.steps == evaluation.sum()
    collected = rows[rows.phase == "collect"]
    assert (collected.groupby("task").length.sum() == transitions).all()
    assert collected.cut.sum() == (3 if transitions % 20 else 0)


def test_updates_stop_at_the_protocols_cap(trained):
    rows, _, _, _ = run(trained, "mier", EvaluationProtocol(evaluate_every=3, max_updates=4))
    assert sorted(rows[rows.phase.isin(["during", "after"])]["update"].unique()) == [0, 3, 4]
    assert set(rows[rows.phase == "after"]["update"]) == {4}


def test_an_agent_that_passes_the_cap_is_stopped(trained):
    class Greedy(type(trained["mier"].agent(MierAdapt(**TINY_ADAPT["mier"]), 0))):
        def adapt(self, every, limit=None):
            return super().adapt(every, None)

    agent = Greedy(trained["mier"], MierAdapt(**TINY_ADAPT["mier"]), 0)
    with pytest.raises(RuntimeError, match="the protocol allows 2"):
        run_trial(trial_of(), agent, EvaluationProtocol(evaluate_every=3, max_updates=2), 40, Meters(Meter(), Meter()))


def test_the_split_declares_the_budget_and_the_protocol_may_override_it():
    common = {"training": "x", "env_steps": 1, "is_final": True, "algorithm": "mier", "split": SPLIT, "config": {}}
    assert adaptation_transitions(MetatestSpec(**common, protocol=EvaluationProtocol())) == SPLIT.adaptation_transitions
    assert adaptation_transitions(MetatestSpec(**common, protocol=EvaluationProtocol(adaptation_transitions=7))) == 7
    hard = get_split("cheetah-velocity.hard")
    assert adaptation_transitions(MetatestSpec(**(common | {"split": hard}), protocol=EvaluationProtocol())) == 200


def test_every_task_of_every_list_is_tested_once():
    spec = MetatestSpec(
        training="x", env_steps=1, is_final=True, algorithm="mier", split=SPLIT, config={},
        protocol=EvaluationProtocol(tasks_at_once=4),
    )  # fmt: skip
    trials = trials_of(spec, get_family(SPLIT.family))
    tested = [(trial.list_name, task.index) for trial in trials for task in trial.tasks]
    expected = [(name, index) for name in ("test", "test_id") for index in range(len(getattr(SPLIT, name)))]
    assert tested == expected


def test_batched_and_single_agents_agree_within_a_tolerance(trained):
    mier = trained["mier"]
    contexts = torch.randn((4, mier.config.context_dim), generator=torch.Generator().manual_seed(0))
    observations = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    together = mier.actions(mier.sac.policy, observations, contexts, False, mier.generator)
    alone = [
        mier.actions(mier.sac.policy, observations[i : i + 1], contexts[i : i + 1], False, mier.generator)[0]
        for i in range(4)
    ]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)
