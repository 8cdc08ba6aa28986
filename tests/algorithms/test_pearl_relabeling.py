"""PEARL with relabeling: what its fine-tuning learns from, and what it can never learn from."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests_support import changed

from algorithms import pearl as module
from algorithms.base import Transition
from algorithms.pearl import Pearl, PearlAdapt, PearlRelabelingAdapt, PearlTrain
from suite.errors import UserError
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from tasks.registry import get_split

CPU = torch.device("cpu")
STEPS, TASKS = 30, 2
TUNING = {"model_hidden": (8, 8), "model_steps": 20, "model_look_every": 5, "relabel_transitions": 60,
          "relabel_tasks": 6, "relabel_interval": 3, "batch": 20, "real_fraction": 0.2}  # fmt: skip
NETWORKS = {"value": ("policy", "critics", "value", "target"), "twin_q": ("policy", "critics", "targets")}


@pytest.fixture
def trained(random_source):
    """A function (**changes) -> a PEARL past two iterations on random data, rewards among it."""

    def build(**changes):
        config = {"encoder_hidden": (8, 7), "policy_hidden": (8, 8), "latent_dim": 2, "meta_batch": 3, "batch": 6}
        config |= {"context_batch": 5, "initial_transitions": 20, "prior_transitions": 20, "posterior_transitions": 40}
        config |= {"steps_per_iteration": 2, "tasks_per_iteration": 2, "precision": "fp32"}
        pearl = Pearl(PearlTrain(**(config | changes)), random_source, seed=0, device=CPU, capacity=1000)
        for _ in range(2):
            pearl.iterate()
        return pearl

    return build


@pytest.fixture
def learners(monkeypatch):
    """The learners of every fine-tuning, and all batches that they were given."""
    seen = []
    for cls in (module.SoftActorCritic, module.ValueSoftActorCritic):

        def copies(self, number, original=cls.copies):
            copy = original(self, number)
            batches, update = [], copy.update
            copy.update = lambda batch, generator: batches.append(batch) or update(batch, generator)
            seen.append((copy, batches))
            return copy

        monkeypatch.setattr(cls, "copies", copies)
    return seen


def adapted(pearl, config, reward=0.0, every=3, limit=None):
    """An agent that has seen 30 steps of noise in two tasks, rewards moved by `reward` (task,), and its points."""
    agent = pearl.agent(config, seed=4)
    agent.begin(TASKS)
    draw = np.random.default_rng(0).standard_normal
    for step in range(STEPS):
        transition = Transition(
            draw((TASKS, 3)).astype(np.float32), np.tanh(draw((TASKS, 2))).astype(np.float32),
            (draw(TASKS) + reward).astype(np.float32), draw((TASKS, 3)).astype(np.float32), np.zeros(TASKS, bool),
        )  # fmt: skip
        agent.observe(transition, np.ones(TASKS, bool), np.full(TASKS, step % 10 == 9))
    return agent, list(agent.adapt(every, limit))


def reward_column(pearl):
    """The rewards in the replay, as a view of its frames."""
    spaces = pearl.source.spaces
    return pearl.store.frames[:, spaces.observation_dim + spaces.action_dim]


@pytest.mark.parametrize("variant", ["value", "twin_q"])
@pytest.mark.parametrize("predicts", ["reward", "dynamics"])
def test_true_rewards_of_the_replay_reach_no_weight(trained, learners, variant, predicts):
    """Every weight of the fine-tuned networks is bit for bit the same, whatever rewards were stored in training."""
    pearl = trained(sac_variant=variant)
    config = PearlRelabelingAdapt(predicts=predicts, relabel_updates=7, **TUNING)
    results = []
    for poison in (None, 1e30, float("nan")):
        if poison is not None:
            reward_column(pearl)[:] = poison
        adapted(pearl, config)
        tuned, batches = learners[-1]
        results.append([tensor.clone() for name in NETWORKS[variant] for tensor in getattr(tuned, name)])
        assert all(torch.isfinite(batch.rewards).all() for batch in batches)
    for clean, huge, undefined in zip(*results):
        assert torch.equal(clean, huge)
        assert torch.equal(clean, undefined)
    assert not torch.equal(results[0][0][0], pearl.sac.policy[0][0])  # they were trained
    adapted(pearl, config, reward=np.array([0.0, 2.0]))
    other = learners[-1][0].policy
    assert torch.isfinite(other[0]).all()
    assert not torch.equal(other[0][1], results[0][0][1])  # rewards of the test task itself reach them


def test_what_the_learners_are_fed(trained, learners):
    """Real rows first, then stored (s, a, s') with the model's reward, all at the posterior's mean."""
    pearl = trained()
    agent, points = adapted(pearl, PearlRelabelingAdapt(predicts="reward", relabel_updates=7, **TUNING))
    tuned, batches = learners[-1]
    assert [point.updates for point in points] == [0, 3, 6, 7]
    assert len(batches) == 7
    assert tuned.settings.reward_scale == pearl.sac.settings.reward_scale == 5.0  # which multiplies model rewards too
    mean, _ = pearl.posterior(agent.data.everything(CPU))
    real = agent.data.everything(CPU)
    stored = {tuple(row) for row in pearl.store.frames[:, :3].tolist()}
    for batch in batches:
        assert batch.observations.shape == (TASKS, 20, 5)
        for field in (batch.observations, batch.next_observations):
            torch.testing.assert_close(field[..., 3:], mean.detach().unsqueeze(1).expand(-1, 20, -1))
        for task in range(TASKS):
            own = {tuple(row) for row in real.observations[task].tolist()}
            rows = [tuple(row) for row in batch.observations[task, :, :3].tolist()]
            assert set(rows[:4]) <= own
            assert set(rows[4:]) <= stored


def test_z_and_the_meta_trained_weights_stay_and_the_tuned_policy_acts(trained, learners):
    pearl = trained()
    kept = [tensor.detach().clone() for tensor in (*pearl.encoder, *pearl.sac.policy, *pearl.sac.value)]
    config = PearlRelabelingAdapt(predicts="reward", relabel_updates=6, **TUNING)
    agent, points = adapted(pearl, config)
    plain, _ = adapted(pearl, PearlAdapt(evaluation_embedding="mean"))
    assert torch.equal(agent.mean, plain.mean)
    assert torch.equal(agent.variance, plain.variance)
    after = (*pearl.encoder, *pearl.sac.policy, *pearl.sac.value)
    assert all(torch.equal(old, new) for old, new in zip(kept, after))
    observations = np.tile(np.linspace(-1, 1, 3, dtype=np.float32), (2 * TASKS, 1))
    actions = agent.fork(2).act(observations, explore=False)
    latents = agent.mean.repeat_interleave(2, dim=0)
    by_hand = pearl.actions(learners[-1][0].policy, observations, latents, False, None)
    np.testing.assert_array_equal(actions, by_hand)
    assert (actions != plain.fork(2).act(observations, explore=False)).any()
    for name in ("embedding_norm", "held_out_loss", "fit_loss", "model_steps"):
        assert points[0].diagnostics[name].shape == (TASKS,)
    assert points[-1].diagnostics["critic_loss"].shape == (TASKS,)
    agent.begin(TASKS)  # another trial: the meta-trained policy again
    assert torch.equal(agent.policy[0], pearl.sac.policy[0])


def test_a_stop_rule_judges_by_what_no_batch_holds(trained, learners):
    pearl = trained()
    config = PearlRelabelingAdapt(
        predicts="reward", relabel_updates=40, stop_patience=5, stop_interval=1, **TUNING | {"real_fraction": 0.8}
    )
    agent, points = adapted(pearl, config, every=40)
    _, batches = learners[-1]
    real = agent.data.everything(CPU)
    for task in range(TASKS):
        drawn = {tuple(row) for batch in batches for row in batch.observations[task, :16, :3].tolist()}
        assert drawn <= {tuple(row) for row in real.observations[task].tolist()}
        assert len(drawn) <= 24  # of 30
    assert (points[-1].diagnostics["policy_update"] <= 40).all()
    assert (points[-1].diagnostics["held_out_bellman_error"] > 0).all()


def test_without_updates_it_is_pearl_at_the_posteriors_mean(trained):
    pearl = trained()
    agent, points = adapted(pearl, PearlRelabelingAdapt(predicts="reward", relabel_updates=6, **TUNING), limit=0)
    plain, _ = adapted(pearl, PearlAdapt(evaluation_embedding="mean"))
    assert [point.updates for point in points] == [0]
    observations = np.tile(np.linspace(-1, 1, 3, dtype=np.float32), (TASKS, 1))
    actions, expected = (one.fork(1).act(observations, explore=False) for one in (agent, plain))
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-7)


def test_a_model_of_dynamics_may_start_from_the_training_tasks_and_one_of_rewards_may_not(trained):
    pearl = trained()
    without = PearlRelabelingAdapt(predicts="dynamics", relabel_updates=0, **TUNING)
    with_start = without.model_copy(update={"model_pretraining_steps": 30})
    losses = [adapted(pearl, config)[1][0].diagnostics["held_out_loss"] for config in (without, with_start)]
    assert (losses[0] != losses[1]).all()
    with pytest.raises(ValidationError, match="set it to 0, or predicts: dynamics"):
        PearlRelabelingAdapt(predicts="reward", model_pretraining_steps=10)
    choice = {"name": "pearl+relabeling", "adapt": {"model_pretraining_steps": 10}}
    with pytest.raises(UserError, match=r"pearl\+relabeling\.adapt.*average of other tasks' rewards"):
        expand(Experiment.model_validate(changed(algorithms=[choice])))


def test_presets_leave_what_pearl_alone_reads_as_it_was():
    """One training for both; the knobs of relabeling are none of PEARL's."""
    splits, names = ("point-goal.ood", "point-dynamics.ood"), ("pearl", "pearl+relabeling")
    cells = expand(Experiment(name="x", splits=splits, algorithms=names, budget={"env_steps": 20_000}))
    for pearl, relabeling in (cells[:2], cells[2:]):
        assert pearl.training.hash == relabeling.training.hash
        assert "relabel_updates" not in pearl.metatests[-1].config
        dynamics = get_split(pearl.split.full_name).family == "point-dynamics"
        assert relabeling.metatests[-1].config["predicts"] == ("dynamics" if dynamics else "reward")
        assert bool(relabeling.metatests[-1].config["model_pretraining_steps"]) is dynamics
