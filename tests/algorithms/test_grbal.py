"""GrBAL's own: the meta-gradient, what the inner step is taken on and when, fitting, and where it cannot run."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm

from algorithms.base import Transition
from algorithms.grbal import Grbal, GrbalAdapt, GrbalTrain, unsupported
from algorithms.kit.model_based import dynamics, planning
from algorithms.kit.model_based.windows import RecentTransitions
from algorithms.kit.networks import as_leaves
from algorithms.kit.replay import Transitions
from suite.errors import UserError
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from tasks.registry import families, get_family

SMALL = {
    "model_hidden": (7, 6), "past": 3, "future": 3, "meta_batch": 5, "steps_per_iteration": 4,
    "initial_transitions": 20, "tasks_per_iteration": 3, "transitions": 20, "candidates": 12, "plan_horizon": 3,
    "validation_windows": 6, "inner_learning_rate": 0.3, "precision": "fp32",
}  # fmt: skip


@pytest.fixture
def small_grbal(random_source):
    """A function (**changes of the configuration) -> a GrBAL after random data of four tasks."""

    def build(fitted=True, **changes):
        config = GrbalTrain(**(SMALL | changes))
        grbal = Grbal(config, random_source, seed=0, device=torch.device("cpu"), capacity=1000)
        if fitted:
            grbal.iterate()
        return grbal

    return build


def steps(rows, number, seed=0):
    """Made-up steps of `rows` episodes."""
    draw = np.random.default_rng(seed)
    for _ in range(number):
        before, after = draw.standard_normal((2, rows, 3)).astype(np.float32)
        actions = draw.uniform(-1, 1, (rows, 2)).astype(np.float32)
        yield Transition(before, actions, np.zeros(rows, np.float32), after, np.zeros(rows, bool))


def none_or(rows, *which):
    mask = np.zeros(rows, bool)
    mask[list(which)] = True
    return mask


# Training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [None, 0.5])
def test_the_meta_gradient_is_that_of_the_loss_after_the_inner_step(small_grbal, finite_differences, monkeypatch, clip):
    """In float64, against finite differences through windows, normalisation, the inner step and its clip."""
    grbal = small_grbal(inner_gradient_clip=clip)
    grbal.theta = as_leaves([parameter.double() for parameter in grbal.theta])
    gather = grbal.store.gather
    monkeypatch.setattr(grbal.store, "gather", lambda slots: Transitions(*(field.double() for field in gather(slots))))
    normalisation = dynamics.Normalisation(*(values.double() for values in grbal.normalisation))
    windows = grbal.windows.sample(5, grbal.generator)

    def loss():
        return grbal.window_losses(windows, normalisation)[1].mean()

    gradients = torch.autograd.grad(loss(), grbal.theta)
    with torch.no_grad():
        differences = [finite_differences(loss, parameter) for parameter in grbal.theta]
    for gradient, difference in zip(gradients, differences):
        torch.testing.assert_close(gradient, difference, rtol=1e-4, atol=1e-8)
    before, after = grbal.window_losses(windows, normalisation)
    assert not torch.allclose(before, after)


def test_what_is_trained_and_judged_is_the_loss_after_the_inner_step(small_grbal):
    grbal = small_grbal()
    windows = grbal.windows.sample(5, torch.Generator().manual_seed(3))
    before, after = grbal.window_losses(windows, grbal.normalisation)
    expected = torch.autograd.grad(after.mean(), grbal.theta)
    judged = grbal._validated(windows, grbal.normalisation)
    assert judged["held_out_loss"] == pytest.approx(float(after.mean().detach()))
    assert judged["held_out_loss_unadapted"] == pytest.approx(float(before.mean()))
    assert judged["held_out_loss"] != judged["held_out_loss_unadapted"]
    grbal.generator.manual_seed(3)
    grbal.gradient_step(grbal.normalisation)
    for parameter, gradient in zip(grbal.theta, expected):
        torch.testing.assert_close(parameter.grad, gradient)


def test_as_many_different_tasks_as_there_are_collect_in_an_iteration(small_grbal, monkeypatch):
    for asked, least in ((3, 3), (6, 2)):
        grbal, seen = small_grbal(tasks_per_iteration=asked), []
        monkeypatch.setattr(grbal, "_collect_by_planning", lambda tasks, seen=seen: seen.extend(tasks) or {})
        grbal.iterate()
        assert len(seen) == asked
        assert least <= len(set(seen)) <= 4


def test_statistics_are_those_of_every_transition_in_the_store(small_grbal):
    grbal = small_grbal()
    grbal._remember(grbal.source.collect(None, [0, 1], 30))
    slots = torch.cat([
        torch.arange(start, start + length)
        for index in (grbal.windows, grbal.held_out) for start, length in zip(index.starts, index.lengths)
    ])  # fmt: skip
    data = grbal.store.gather(slots)
    assert len(slots) == grbal.sums[0, 0] == 4 * 20 + 2 * 30
    change = data.next_observations - data.observations
    torch.testing.assert_close(grbal.normalisation.change_scale, change.std(0, correction=0))
    torch.testing.assert_close(grbal.normalisation.input_mean, torch.cat([data.observations, data.actions], 1).mean(0))


def test_held_out_episodes_are_not_fitted(small_grbal):
    grbal = small_grbal(validation_fraction=0.5)
    fitted, held_out = set(grbal.windows.starts), set(grbal.held_out.starts)
    assert fitted
    assert held_out
    assert not fitted & held_out
    nothing = small_grbal(validation_fraction=0.0)
    assert not nothing.held_out.starts


def test_fitting_ends_when_the_held_out_loss_stops_falling_and_the_best_model_is_kept(small_grbal, monkeypatch):
    grbal = small_grbal(validation_fraction=0.5)
    grbal.config = grbal.config.model_copy(update={"steps_per_iteration": 50, "validate_every": 5, "patience": 2})
    looks, models = iter([5.0, 4.0, 4.5, 3.0, 3.5, 3.2, 1.0]), []

    def validated(windows, normalisation):
        models.append([parameter.detach().clone() for parameter in grbal.theta])
        return {"held_out_loss": next(looks)}

    monkeypatch.setattr(grbal, "_validated", validated)
    found = grbal._fit()
    assert found["gradient_steps"] == 30
    assert found["held_out_loss"] == 3.0
    assert all(torch.equal(a, b) for a, b in zip(grbal.theta, models[3]))
    assert not torch.equal(models[3][0], models[5][0])
    grbal.config = grbal.config.model_copy(update={"patience": 99, "steps_per_iteration": 12})
    monkeypatch.setattr(grbal, "_validated", lambda windows, normalisation: {"held_out_loss": 1.0})
    assert grbal._fit()["gradient_steps"] == 12


def test_gradient_steps_are_as_many_as_passes_over_the_data_take(small_grbal):
    """As released: a step takes in five windows of 3 + 3 transitions; four episodes of 20 hold 80."""
    grbal = small_grbal(validation_fraction=0.0, steps_per_iteration=50, epochs=6)
    assert grbal._most_steps() == int(6 * 80 / (5 * 6)) == 16
    assert grbal._fit()["gradient_steps"] == 16
    grbal.config = grbal.config.model_copy(update={"steps_per_iteration": 4})
    assert grbal._fit()["gradient_steps"] == 4
    grbal.config = grbal.config.model_copy(update={"epochs": None, "steps_per_iteration": 7})
    assert grbal._fit()["gradient_steps"] == 7


def test_without_held_out_episodes_the_last_model_stays(small_grbal, monkeypatch):
    grbal = small_grbal(validation_fraction=0.0)
    before, last = [parameter.detach().clone() for parameter in grbal.theta], []
    step = grbal.gradient_step
    monkeypatch.setattr(
        grbal, "gradient_step", lambda n: (step(n), last.append([p.detach().clone() for p in grbal.theta]))[0]
    )
    found = grbal._fit()
    assert "held_out_loss" not in found
    assert all(torch.equal(a, b) for a, b in zip(grbal.theta, last[-1]))
    assert not torch.equal(before[0], last[-1][0])


def test_episodes_too_short_for_a_window_are_kept_and_waited_out(small_grbal):
    grbal = small_grbal(past=9)
    assert grbal.windows.number
    nothing = small_grbal(fitted=False, past=9)
    nothing.windows.least_past = nothing.held_out.least_past = 10
    assert set(nothing.iterate()) == {"return"}
    assert nothing.store.size == 4 * 2 * 11


def test_the_planner_collects_as_it_acts_in_tests(monkeypatch):
    """What the model adapted to while collecting is what the store then holds, and an episode's end forgets it."""
    grbal = build_algorithm("grbal", "point-dynamics.ood", transitions=40)
    grbal.iterate()
    seen, cleared, add, clear = [], [], RecentTransitions.add, RecentTransitions.clear

    def added(self, observations, actions, following, active):
        seen.append((observations.copy(), actions.copy(), following.copy(), active.copy()))
        add(self, observations, actions, following, active)

    def forgotten(self, ended):
        cleared.append(ended.copy())
        clear(self, ended)

    monkeypatch.setattr(RecentTransitions, "add", added)
    monkeypatch.setattr(RecentTransitions, "clear", forgotten)
    first = grbal.store.size
    metrics = grbal.iterate()
    frames = grbal.store.frames[first:].reshape(8, 21, -1)  # two episodes in each of four rows
    assert len(seen) == 40
    assert [step for step, ended in enumerate(cleared) if ended.all()] == [19, 39]
    for episode in range(8):
        row = episode % 4
        steps = [(o[row], a[row], n[row]) for o, a, n, active in seen if active[row]][20 * (episode // 4) :][:20]
        for step, (observation, action, following) in enumerate(steps):
            assert np.array_equal(frames[episode, step, :2], observation)
            assert np.array_equal(frames[episode, step, 2:4], action)
            assert np.array_equal(frames[episode, step + 1, :2], following)
    assert {"prediction_loss", "prediction_loss_unadapted", "model_loss"} <= set(metrics)


# Acting -----------------------------------------------------------------------------------------------------------


def started(grbal, rows=3, **changes):
    agent = grbal.agent(GrbalAdapt(**changes), seed=4)
    agent.begin(rows)
    return agent


def test_meta_trained_parameters_until_an_episode_has_enough_transitions(small_grbal):
    grbal = small_grbal()
    agent, plain = started(grbal), started(grbal, online=False)
    probe = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3)
    for number, step in enumerate(steps(3, 5)):
        acted, unadapted = agent.act(probe, explore=False), plain.act(probe, explore=False)
        assert np.array_equal(acted, unadapted) == (number < 3)
        assert (agent.model.gradient is None) == (number < 3)
        for each in (agent, plain):
            each.observe(step, np.ones(3, bool), np.zeros(3, bool))
            each.plans = each.plans * 0  # the same start for both
    agent.observe(step, np.ones(3, bool), none_or(3, 1))  # an episode ends: its row alone starts afresh
    acted, unadapted = agent.act(probe, explore=False), plain.act(probe, explore=False)
    assert agent.model.rates.flatten().tolist() == pytest.approx([0.3, 0.0, 0.3])
    networks = dynamics.adapted_parameters(agent.model.theta, agent.model.gradient, agent.model.rates)
    same = [all(torch.equal(p[row], q[0]) for p, q in zip(networks, agent.model.theta)) for row in range(3)]
    assert same == [False, True, False]


def test_the_inner_step_is_taken_on_the_newest_transitions(small_grbal):
    """Exactly the last `past` of them, as autograd would."""
    grbal = small_grbal()
    agent, seen = started(grbal, rows=1), list(steps(1, 7))
    for step in seen:
        agent.observe(step, np.ones(1, bool), np.zeros(1, bool))
    agent.act(seen[0][0], explore=False)
    found = dynamics.adapted_parameters(agent.model.theta, agent.model.gradient, agent.model.rates)
    fields = [torch.as_tensor(np.stack([step[field] for step in seen[-3:]], 1)) for field in (0, 1, 3)]
    nothing = torch.zeros(1, 3)
    last = Transitions(fields[0], fields[1], nothing, fields[2], nothing)
    theta = as_leaves(grbal.theta)
    inputs, targets = grbal.normalisation.inputs(last), grbal.normalisation.targets(last)
    loss = (dynamics.outputs(theta, inputs) - targets).square().mean()
    for wanted, gradient, parameter in zip(theta, torch.autograd.grad(loss, theta), found):
        torch.testing.assert_close(parameter, wanted.detach() - 0.3 * gradient, rtol=1e-5, atol=1e-6)


def test_with_a_step_of_nothing_it_is_plain_planning(small_grbal):
    grbal = small_grbal()
    grbal.config = grbal.config.model_copy(update={"inner_learning_rate": 0.0})
    agent, plain = started(grbal), started(grbal, online=False)
    for step in steps(3, 6):
        np.testing.assert_allclose(agent.act(step[0], True), plain.act(step[0], True), atol=1e-5)
        for each in (agent, plain):
            each.observe(step, np.ones(3, bool), np.zeros(3, bool))
    assert agent.model.gradient is not None


def test_plans_go_on_from_the_last_ones_under_the_familys_reward_and_termination(small_grbal, monkeypatch):
    grbal, begun, judged, original = small_grbal(), [], [], planning.plan
    monkeypatch.setattr(grbal.source, "terminated", lambda following: following > 7)

    def planned(settings, returns_of, start, generator):
        begun.append(start.clone())
        assert (settings.candidates, settings.horizon) == (5, 4)
        return original(settings, returns_of, start, generator)

    def predicted(predict, reward, terminated, observations, sequences):
        judged.append((reward, terminated, observations.numpy().copy()))
        return sequences.sum((2, 3))

    monkeypatch.setattr("algorithms.grbal.plan", planned)
    monkeypatch.setattr("algorithms.grbal.predicted_returns", predicted)
    agent, plans = started(grbal, candidates=5, plan_horizon=4), torch.zeros(3, 4, 2)
    for step in steps(3, 3):
        assert np.array_equal(agent.act(step[0], explore=False), agent.next_plans[:, 0])
        assert torch.equal(begun[-1], plans)
        assert np.array_equal(judged[-1][2], step[0])
        assert judged[-1][:2] == (grbal.reward, grbal.source.terminated)
        plans = planning.advanced(agent.next_plans)
        agent.observe(step, np.ones(3, bool), np.zeros(3, bool))
    assert plans.abs().sum() > 0


def state_of(agent, row):
    errors = [means[row] for means in agent.model.errors().values()]
    data, weights = agent.recent.held(torch.device("cpu"))
    return [agent.plans[row], torch.as_tensor(errors), data.observations[row], data.actions[row], weights[row]]


def test_inactive_rows_change_no_state(small_grbal):
    agent = started(small_grbal())
    for step in steps(3, 5):
        agent.act(step[0], explore=True)
        agent.observe(step, np.ones(3, bool), np.zeros(3, bool))
    kept = [[part.clone() for part in state_of(agent, row)] for row in range(3)]
    step = next(steps(3, 1, seed=9))
    agent.act(step[0], explore=True)
    agent.observe(step, none_or(3, 0, 2), np.zeros(3, bool))
    unchanged = [all(torch.equal(a, b) for a, b in zip(kept[row], state_of(agent, row))) for row in range(3)]
    assert unchanged == [False, True, False]


def test_an_episodes_end_clears_its_transitions_and_its_plan(small_grbal):
    agent = started(small_grbal())
    for step in steps(3, 4):
        agent.act(step[0], explore=True)
        agent.observe(step, np.ones(3, bool), np.zeros(3, bool))
    assert (agent.plans.abs().sum((1, 2)) > 0).all()
    agent.act(step[0], explore=True)
    agent.observe(step, np.ones(3, bool), none_or(3, 2))
    assert agent.recent.counts.tolist() == [5, 5, 0]
    assert (agent.plans.abs().sum((1, 2)) > 0).tolist() == [True, True, False]


def test_carried_over_transitions_outlast_an_episode_and_serve_from_the_next_ones_first_step(small_grbal):
    """By hand: a fork adapts, from its first action on, to the last three transitions of its own task's trial."""
    grbal, seen = small_grbal(), list(steps(3, 5))
    kept, forgetful = started(grbal, carry_over=True), started(grbal)
    for number, step in enumerate(seen):
        for agent in (kept, forgetful):
            agent.act(step[0], explore=True)
            agent.observe(step, np.ones(3, bool), np.full(3, number == 4))  # the last step ends the episodes
    assert kept.recent.counts.tolist() == [5, 5, 5]
    assert forgetful.recent.counts.tolist() == [0, 0, 0]
    assert not kept.plans.any()
    fork = kept.fork(2)
    assert fork.recent.counts.tolist() == [5] * 6
    fork.act(np.ones((6, 3), np.float32), explore=False)
    assert fork.model.rates.flatten().tolist() == pytest.approx([0.3] * 6)
    fields = [torch.as_tensor(np.stack([step[field] for step in seen[-3:]], 1)) for field in (0, 1, 3)]
    nothing = torch.zeros(3, 3)
    last = Transitions(fields[0], fields[1], nothing, fields[2], nothing)
    inputs, targets = grbal.normalisation.inputs(last), grbal.normalisation.targets(last)
    wanted = dynamics.inner_step(fork.model.theta, inputs, targets, torch.full((3, 3), 1 / 3))
    for parameter, expected in zip(
        dynamics.adapted_parameters(fork.model.theta, fork.model.gradient, 0.3),
        dynamics.adapted_parameters(fork.model.theta, wanted, 0.3),
    ):
        torch.testing.assert_close(parameter, expected.repeat_interleave(2, dim=0), rtol=1e-5, atol=1e-6)
    fork.observe(Transition(*(np.repeat(field, 2, axis=0) for field in step)), np.ones(6, bool), np.zeros(6, bool))
    assert fork.recent.counts.tolist() == [6] * 6
    assert kept.recent.counts.tolist() == [5] * 3  # what the fork saw is not the trial's


@pytest.mark.parametrize("planner", ["mppi", "cem", "random_shooting"])
def test_a_row_acts_the_same_alone_and_in_company(small_grbal, planner):
    grbal = small_grbal()
    together, alone = started(grbal, planner=planner), started(grbal, rows=1, planner=planner)
    for step in steps(3, 6):
        many = together.act(step[0], explore=False)
        one = alone.act(step[0][1:2], explore=False)
        np.testing.assert_allclose(one[0], many[1], atol=1e-4)
        together.observe(step, np.ones(3, bool), np.zeros(3, bool))
        alone.observe(Transition(*(field[1:2] for field in step)), np.ones(1, bool), np.zeros(1, bool))


def test_a_fork_starts_new_episodes_for_every_task(small_grbal):
    agent = started(small_grbal())
    for step in steps(3, 5):
        agent.observe(step, np.ones(3, bool), np.zeros(3, bool))
    fork = agent.fork(2)
    assert fork.recent.counts.tolist() == [0] * 6
    assert agent.recent.counts.tolist() == [5] * 3
    other = started(small_grbal(), online=False, planner="cem", candidates=7).fork(2)
    assert (other.config.online, other.settings.planner, other.settings.candidates) == (False, "cem", 7)
    probe = np.ones((6, 3), np.float32)
    assert np.ptp(fork.act(probe, explore=False), axis=0) == pytest.approx(0, abs=1e-5)


def test_the_adaptation_is_judged_on_steps_it_has_not_seen(small_grbal):
    """By hand: the error of the adapted and of the meta-trained model on the next step."""
    grbal = small_grbal()
    agent, expected = started(grbal), np.zeros((2, 3))
    for number, step in enumerate(steps(3, 6)):
        agent.act(step[0], explore=True)
        if number >= 3:
            inputs = torch.cat([torch.as_tensor(step[0]), torch.as_tensor(step[1])], 1)[:, None]
            inputs = (inputs - grbal.normalisation.input_mean) / grbal.normalisation.input_scale
            change = torch.as_tensor(step[3] - step[0])[:, None]
            change = (change - grbal.normalisation.change_mean) / grbal.normalisation.change_scale
            networks = dynamics.adapted_parameters(agent.model.theta, agent.model.gradient, agent.model.rates)
            hidden = inputs
            for weight, bias in zip(networks[:-2:2], networks[1:-2:2]):
                hidden = torch.relu(hidden @ weight + bias)
            expected[0] += (hidden @ networks[-2] + networks[-1] - change).square().mean((1, 2)).detach().numpy() / 3
            own = dynamics.outputs(agent.model.theta, inputs) - change
            expected[1] += own.square().mean((1, 2)).detach().numpy() / 3
        agent.observe(step, np.ones(3, bool), np.zeros(3, bool))
    (point,) = agent.adapt(every=1)
    assert point.updates == 0
    np.testing.assert_allclose(point.diagnostics["prediction_loss"], expected[0], rtol=1e-4)
    np.testing.assert_allclose(point.diagnostics["prediction_loss_unadapted"], expected[1], rtol=1e-4)


# Where it cannot run ----------------------------------------------------------------------------------------------


def test_families_without_a_known_reward_are_unsupported_and_the_reason_is_said():
    for family in families():
        reason = unsupported("grbal", family)
        assert (reason is None) == (family.varies == "dynamics")
        assert reason is None or "the reward is what varies" in reason
    own = get_family("point-dynamics").model_copy(update={"analytic_reward": None, "name": "own"})
    assert "own does not declare" in unsupported("grbal", own)
    assert "`reward_of`" in unsupported("grbal", own)


def test_an_experiment_shows_the_reason_before_any_training():
    experiment = Experiment(
        name="both", splits=("point-goal.ood", "point-dynamics.ood"), algorithms=("grbal",), budget={"env_steps": 5000}
    )
    goal, turned = expand(experiment)
    assert "the reward is what varies" in goal.reason
    assert goal.training is None
    assert turned.reason is None


def test_mistakes_are_refused(small_grbal, random_source):
    with pytest.raises(ValueError, match=r"past: 10 transitions are needed .* an episode has only 10 steps; lower"):
        small_grbal(fitted=False, past=10)
    small_grbal(fitted=False, past=10, least_past=2)

    class Unrewarding(type(random_source)):
        reward = None

    with pytest.raises(ValueError, match="declares none"):
        Grbal(GrbalTrain(**SMALL), Unrewarding(), seed=0, device=torch.device("cpu"), capacity=100)
    fields = {"name": "x", "splits": ("point-dynamics.ood",), "budget": {"env_steps": 5000}}
    wrong = Experiment(**fields, algorithms=({"name": "grbal", "train": {"planner": "mpi"}},))
    with pytest.raises(UserError, match="mppi"):
        expand(wrong)
