"""Tests that catch a comparison which only looks real."""

import numpy as np
import pandas as pd
import pytest
import torch
from tests_support import TINY_ADAPT, build_algorithm

import suite.run.metatest
import suite.run.rollout
from algorithms.mier import MierAdapt
from algorithms.registry import get_algorithm
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


def test_where_the_gate_opens_fine_tuning_changes_policies_and_records(trained):
    opened, diagnostics, _, agent = run(trained, "mier", adapt={"gate": None})
    without, _, _, _ = run(trained, "mier-wr")
    assert set(diagnostics[diagnostics.name == "gate_open"].value) == {1.0}
    assert (returns(opened, "after") != returns(without, "after")).all()
    meta_trained = trained["mier"].sac.policy
    for task in range(3):
        assert all((tuned[task] != start[0]).any() for tuned, start in zip(agent.policy, meta_trained))


def test_where_the_gate_closes_the_task_keeps_the_policy_and_it_is_recorded(trained):
    closed, diagnostics, _, agent = run(trained, "mier", adapt={"gate": -1e9})
    without, _, _, _ = run(trained, "mier-wr")
    assert set(diagnostics[diagnostics.name == "gate_open"].value) == {0.0}
    assert (returns(closed, "after") == returns(without, "after")).all()
    pairs = zip(agent.policy, trained["mier"].sac.policy)
    assert all((task == start[0]).all() for tuned, start in pairs for task in tuned)


def test_the_gate_judges_tasks_one_by_one(trained):
    _, diagnostics, _, _ = run(trained, "mier")
    losses = diagnostics[diagnostics.name == "held_out_loss"].sort_values("task").value.to_numpy()
    between = float(np.sort(losses)[:2].mean())
    rows, mixed, _, _ = run(trained, "mier", adapt={"gate": between})
    gates = mixed[mixed.name == "gate_open"].sort_values("task").value.to_numpy()
    assert (gates == (losses < between)).all()
    assert gates.sum() == 1
    closed = np.repeat(gates == 0, 3)
    change = np.abs(returns(rows, "after") - returns(rows, "during", 0))
    assert (change[closed] < 1e-5).all()  # the same policy, but in a batch of another shape
    assert (change[~closed] > 1e-4).all()


def test_the_gate_ignores_the_variance_bound_term(trained):
    """Pushing the bounds' regulariser far down changes no gate: only the likelihood is judged."""
    mier = trained["mier"]
    agent = mier.agent(MierAdapt(**TINY_ADAPT["mier"]), 0)
    agent.begin(2)
    data = mier.store.gather(mier.everything.sample(np.array([0, 1]), 8, torch.Generator().manual_seed(0)))
    theta = [parameter.detach().clone() for parameter in mier.theta]
    before = agent._loss(theta, data)
    bound = float(mier.model.bound_term(theta))
    theta[-2] += 50.0  # far above every prediction: the soft bound no longer acts, the regulariser still grows
    assert float(mier.model.bound_term(theta)) > bound + 0.4
    shifted = agent._loss(theta, data)
    raw = agent._loss([*theta[:-2], theta[-2] + 1000, theta[-1]], data)
    torch.testing.assert_close(shifted, raw)
    assert before.shape == (2,)


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
