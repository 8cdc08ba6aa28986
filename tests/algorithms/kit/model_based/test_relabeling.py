import numpy as np
import pytest
import torch

from algorithms.kit.model_based import relabeling
from algorithms.kit.model_based.context_model import ContextModel
from algorithms.kit.model_based.relabeling import (
    AdaptedModel,
    RelabeledReplay,
    Relabeling,
    RelabelSettings,
    StoredExperience,
    with_embedding,
)
from algorithms.kit.networks import as_leaves, repeat_ensemble
from algorithms.kit.off_policy.fine_tuning import FineTuning
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from tasks.spec import EpisodeBatch, SpaceSpec

CPU = torch.device("cpu")
STATE, ACTION, CONTEXT = 3, 2, 1
NUM_TASKS, EPISODE = 5, 40
UPDATES = 12
SETTINGS = RelabelSettings(
    relabel_interval=4, relabel_transitions=60, relabel_tasks=6, relabel_capacity=10_000, batch=30, real_fraction=0.14
)


class HandModel:
    """Reward = 1000 phi + sum of the state + 10 * sum of the action; s' = s + phi + 0.01 * (1, 2, 3)."""

    def __init__(self, predicts_dynamics):
        self.predicts_dynamics = predicts_dynamics
        self.target_dim = 1 + STATE if predicts_dynamics else 1
        self.asked = []

    def sample(self, theta, data, context, noise):
        assert noise.shape == (1, data.rewards.shape[1], self.target_dim)
        self.asked.append((theta, data, context, noise))
        reward = 1000 * context.unsqueeze(1) + data.observations.sum(-1, keepdim=True)
        reward = reward + 10 * data.actions.sum(-1, keepdim=True)
        if not self.predicts_dynamics:
            return reward
        change = context.unsqueeze(1) + 0.01 * torch.tensor([1.0, 2.0, 3.0])
        return torch.cat([reward, change.expand(-1, reward.shape[1], -1)], dim=-1)


class Recorder:
    """Stands where the SAC learners do: keeps the batches, and acts by a rule that counts how often it acted."""

    def __init__(self):
        self.batches = []
        self.acted = []
        self.policy = [torch.zeros(1)]

    def update(self, batch, generator):
        self.batches.append(batch)
        return {"critic_loss": torch.zeros(len(batch.rewards))}

    def sample_one(self, learner, inputs, generator):
        self.acted.append((learner, inputs))
        return 0.1 * inputs[..., :ACTION] + learner + 0.5 * inputs[..., STATE:]


@pytest.fixture
def prior():
    """A store of one episode per training task, with task 3 never visited; (store, index)."""
    store = EpisodeStore(SpaceSpec(observation_dim=STATE, action_dim=ACTION, horizon=EPISODE), 10, CPU)
    index = TaskIndex(NUM_TASKS, CPU)
    draw = np.random.default_rng(0).standard_normal
    visited = np.array([0, 1, 2, 4])
    batch = EpisodeBatch(
        draw((4, EPISODE + 1, STATE)).astype(np.float32), draw((4, EPISODE, ACTION)).astype(np.float32),
        draw((4, EPISODE)).astype(np.float32), np.full(4, EPISODE), np.array([False, True, True, False]),
        np.arange(4), visited,
    )  # fmt: skip
    store.remember(batch, [index])
    return store, index


def real_data(learners, rows=7):
    """Real transitions that carry their learner and row in every field, far from anything in the store."""
    number = 1e6 * (1 + torch.arange(learners)).unsqueeze(1) + torch.arange(rows)
    wide = number.unsqueeze(-1)
    states, actions = wide.expand(-1, -1, STATE), wide.expand(-1, -1, ACTION)
    return Transitions(states, actions, number, states + 0.5, torch.zeros_like(number))


def never(observations):
    return torch.zeros(observations.shape[:-1], dtype=torch.bool)


def tuned(prior, predicts_dynamics, settings=SETTINGS, learners=2, updates=1, terminated=never):
    """The relabeling of a fine-tuning after some updates, with what stood in for model and learners."""
    contexts = torch.arange(1.0, 1 + learners).unsqueeze(1)
    theta = [torch.arange(float(learners)).reshape(-1, 1, 1)]
    model, recorder = HandModel(predicts_dynamics), Recorder()
    relabeling = Relabeling(
        settings, StoredExperience(*prior, terminated), AdaptedModel(model, theta, contexts), contexts,
        real_data(learners), UPDATES,
    )  # fmt: skip
    FineTuning(recorder, relabeling).run_to(updates, torch.Generator().manual_seed(0))
    return relabeling, recorder, model


def but(**changes):
    """The settings with some changed."""
    return SETTINGS.model_copy(update=changes)


def stored(prior):
    """All stored transitions by their observation, as tuples of floats."""
    store, index = prior
    rows = {}
    for task in range(NUM_TASKS):
        for slot in index.held(task):
            data = store.gather(slot.reshape(1))
            rows[tuple(data.observations[0].tolist())] = (task, *(field[0] for field in data))
    return rows


def synthetic_rows(batch, learner):
    """(observation, action, reward, next observation, terminated) without the embedding, synthetic rows only."""
    for row in range(SETTINGS.num_real, SETTINGS.batch):
        yield (
            batch.observations[learner, row, :STATE], batch.actions[learner, row], batch.rewards[learner, row],
            batch.next_observations[learner, row, :STATE], batch.terminated[learner, row],
        )  # fmt: skip


def test_a_reward_model_replaces_the_reward_and_nothing_else(prior):
    _, recorder, _ = tuned(prior, predicts_dynamics=False)
    (batch,) = recorder.batches
    known, tasks, ends = stored(prior), set(), 0
    assert batch.rewards.shape == (2, SETTINGS.batch)
    for learner in (0, 1):
        for state, action, reward, following, over in synthetic_rows(batch, learner):
            task, _, kept_action, kept_reward, kept_following, kept_over = known[tuple(state.tolist())]
            tasks.add(task)
            assert torch.equal(action, kept_action)
            assert torch.equal(following, kept_following)
            assert torch.equal(over, kept_over)
            ends += int(over)
            expected = 1000 * (learner + 1) + state.sum() + 10 * action.sum()
            assert float(reward) == pytest.approx(float(expected), abs=1e-3)
            assert reward != kept_reward
    assert tasks == {0, 1, 2, 4}
    assert not recorder.acted


def test_a_dynamics_model_is_asked_about_the_current_policys_action(prior):
    """s from the store, a from the learner's policy given phi, r and s' from the model, termination by the rule."""

    def rule(observations):
        return observations[..., 0] > 1.5

    _, recorder, model = tuned(prior, predicts_dynamics=True, terminated=rule)
    (batch,) = recorder.batches
    known, outcomes = stored(prior), set()
    for learner in (0, 1):
        phi = float(learner + 1)
        for state, action, reward, following, over in synthetic_rows(batch, learner):
            assert tuple(state.tolist()) in known
            torch.testing.assert_close(action, 0.1 * state[:ACTION] + learner + 0.5 * phi)
            torch.testing.assert_close(following, state + phi + 0.01 * torch.tensor([1.0, 2.0, 3.0]))
            assert float(reward) == pytest.approx(float(1000 * phi + state.sum() + 10 * action.sum()), abs=1e-3)
            assert bool(over) == bool(following[0] > 1.5)
            outcomes.add(bool(over))
    assert outcomes == {True, False}
    for learner, (theta, _, context, noise) in enumerate(model.asked):
        assert theta[0].tolist() == [[[float(learner)]]]
        assert context.tolist() == [[learner + 1.0]]
        assert float(noise.std()) == pytest.approx(1.0, abs=0.2)
    assert [learner for learner, _ in recorder.acted] == [0, 1]


@pytest.mark.parametrize("predicts_dynamics", [False, True])
def test_the_first_rows_of_a_batch_are_real_and_the_learners_own(prior, predicts_dynamics):
    _, recorder, _ = tuned(prior, predicts_dynamics, updates=12)
    real = real_data(2)
    seen = [set(), set()]
    for batch in recorder.batches:
        assert batch.observations.shape == (2, SETTINGS.batch, STATE + CONTEXT)
        for learner in (0, 1):
            for row in range(SETTINGS.num_real):
                source = int(batch.rewards[learner, row] - 1e6 * (1 + learner))
                assert batch.rewards[learner, row] == real.rewards[learner, source]
                assert torch.equal(batch.observations[learner, row, :STATE], real.observations[learner, source])
                assert torch.equal(batch.actions[learner, row], real.actions[learner, source])
                assert torch.equal(
                    batch.next_observations[learner, row, :STATE], real.next_observations[learner, source]
                )
                seen[learner].add(source)
            assert float(batch.rewards[learner, SETTINGS.num_real :].abs().max()) < 1e5
    assert seen == [set(range(7))] * 2  # with replacement, all rows come up


def test_every_row_carries_its_learners_embedding(prior):
    _, recorder, _ = tuned(prior, predicts_dynamics=True)
    for observations in (recorder.batches[0].observations, recorder.batches[0].next_observations):
        for learner in (0, 1):
            assert observations[learner, :, STATE].tolist() == [learner + 1.0] * SETTINGS.batch


def test_no_real_rows_if_none_are_asked_for(prior):
    _, recorder, _ = tuned(prior, False, but(real_fraction=0.0))
    assert recorder.batches[0].rewards.shape == (2, SETTINGS.batch)
    assert float(recorder.batches[0].rewards.max()) < 1e5


@pytest.mark.parametrize(("updates", "relabelings"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (12, 3)])
def test_relabeling_happens_first_and_then_every_interval(prior, updates, relabelings):
    relabeling, recorder, model = tuned(prior, predicts_dynamics=False, updates=updates)
    assert len(recorder.batches) == updates
    assert len(model.asked) == 2 * relabelings
    assert relabeling._synthetic.added == 60 * relabelings


def test_states_are_drawn_from_as_many_tasks_and_rows_as_asked(prior):
    """Six draws among the four visited tasks, ten states each, other ones for every learner and relabeling."""
    _, _, model = tuned(prior, predicts_dynamics=False, updates=12)
    known = stored(prior)
    drawn = []
    for _, data, _, _ in model.asked:
        tasks = [known[tuple(state.tolist())][0] for state in data.observations[0]]
        blocks = [tasks[start : start + 10] for start in range(0, 60, 10)]
        assert len(tasks) == 60
        assert all(len(set(block)) == 1 for block in blocks)
        drawn.append(tuple(tasks))
    assert len(set(drawn)) > 1
    assert set().union(*drawn) == {0, 1, 2, 4}


def test_states_are_all_that_were_stored_or_the_oldest_that_every_task_has(prior):
    """Task 0 gets 40 transitions more than the others: only with `all` do they come up."""
    store, index = prior
    draw = np.random.default_rng(1).standard_normal
    more = EpisodeBatch(
        draw((1, EPISODE + 1, STATE)).astype(np.float32), draw((1, EPISODE, ACTION)).astype(np.float32),
        draw((1, EPISODE)).astype(np.float32), np.array([EPISODE]), np.array([False]), np.arange(1), np.array([0]),
    )  # fmt: skip
    store.remember(more, [index])
    newer = {tuple(state.tolist()) for state in torch.from_numpy(more.observations[0, :EPISODE])}
    for states, comes_up in (("all", True), ("oldest", False)):
        _, _, model = tuned(prior, False, but(relabel_states=states), updates=12)
        drawn = {tuple(state.tolist()) for _, data, _, _ in model.asked for state in data.observations[0]}
        assert bool(drawn & newer) is comes_up
        assert len(drawn - newer) > 100  # of the 160 others


@pytest.mark.parametrize("predicts_dynamics", [False, True])
def test_no_reward_stored_in_meta_training_reaches_a_learner(prior, predicts_dynamics):
    """With every stored reward poisoned the learners get the same batches and end with the same weights, bit by bit."""
    store, _ = prior
    generator = torch.Generator().manual_seed(0)
    model = ContextModel(
        STATE, ACTION, CONTEXT, (8, 8), predicts_dynamics=predicts_dynamics, negative_slope=0.2, precision="fp32"
    )
    theta, contexts = repeat_ensemble(model.initial(generator), 2), torch.tensor([[0.3], [0.7]])
    settings = SacSettings(0.99, 0.005, 1e-2, 1.0, "auto", -1.0, "fp32")
    learner = SoftActorCritic.initial(settings, STATE + CONTEXT, ACTION, (8, 8), generator)
    real, ends = Transitions(*(field / 1e6 for field in real_data(2))), []
    for poison in (0.0, 1e6, float("nan")):
        store.frames[:, STATE + ACTION] += poison
        relabeling = Relabeling(
            SETTINGS, StoredExperience(*prior, never), AdaptedModel(model, theta, contexts), contexts, real, UPDATES
        )
        tuning = FineTuning(learner.copies(2), relabeling)
        tuning.run_to(UPDATES, torch.Generator().manual_seed(1))
        ends.append([*tuning.policy, *tuning.learners.critics])
    assert bool(store.frames[:, STATE + ACTION].isnan().all())
    for poisoned in ends[1:]:
        assert all(torch.equal(left, right) for left, right in zip(ends[0], poisoned))


def test_the_policys_embedding_need_not_be_the_models_context(prior):
    """As where an agent with an encoder of its own relabels with a model that has no context at all."""
    recorder, model, embedding = Recorder(), HandModel(predicts_dynamics=True), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    contexts = torch.tensor([[1.0], [2.0]])
    adapted = AdaptedModel(model, [torch.zeros(2, 1, 1)], contexts)
    relabeling = Relabeling(SETTINGS, StoredExperience(*prior, never), adapted, embedding, real_data(2), UPDATES)
    FineTuning(recorder, relabeling).run_to(1, torch.Generator().manual_seed(0))
    assert recorder.batches[0].observations.shape == (2, SETTINGS.batch, STATE + 2)
    for learner, ((_, inputs), (_, _, context, _)) in enumerate(zip(recorder.acted, model.asked)):
        assert torch.equal(inputs[0, :, STATE:], embedding[learner].expand(60, -1))
        assert torch.equal(context, contexts[learner : learner + 1])


def test_real_rows_of_a_batch_are_rounded_down_and_defaults_are_the_codes():
    """The released code's int(0.05 * 256) = 12."""
    assert RelabelSettings().num_real == 12
    assert RelabelSettings(real_fraction=0.0).num_real == 0
    assert RelabelSettings().model_dump() == {
        "relabel_updates": 20_000, "relabel_interval": 500, "relabel_transitions": 100_000, "relabel_tasks": 20,
        "relabel_states": "all", "relabel_capacity": 1_000_000, "batch": 256, "real_fraction": 0.05,
    }  # fmt: skip


def test_chunks_bound_the_memory_and_change_nothing_else(prior, monkeypatch):
    _, whole, _ = tuned(prior, predicts_dynamics=False, updates=3)
    monkeypatch.setattr(relabeling, "CHUNK", 7)
    _, parts, model = tuned(prior, predicts_dynamics=False, updates=3)
    assert len(model.asked) == 2 * 9
    assert max(data.rewards.shape[1] for _, data, _, _ in model.asked) == 7
    known = stored(prior)
    for left, right in zip(whole.batches, parts.batches):
        assert left.rewards.shape == right.rewards.shape
        for state, action, reward, _, _ in synthetic_rows(right, 1):
            assert tuple(state.tolist()) in known
            assert float(reward) == pytest.approx(float(2000 + state.sum() + 10 * action.sum()), abs=1e-3)


def test_the_ring_keeps_the_newest_and_uses_its_whole_capacity(prior):
    store, _ = prior
    ring = RelabeledReplay(2, 5, CPU)
    for start in (0, 3, 6, 9):
        for learner in (0, 1):
            number = torch.arange(start, start + 3)
            ring.add(learner, number + 20 * learner, [number.float() + 100 * learner])
        ring.advance(3)
        newest = set(range(max(0, start - 2), start + 3))
        batch = ring.sample(store, 500, torch.Generator().manual_seed(start))
        for learner in (0, 1):
            numbers = {int(reward) - 100 * learner for reward in batch.rewards[learner]}
            assert numbers == newest
            # What was not replaced still comes from the slot that the reward was written for.
            slots = batch.rewards[learner].long() - 100 * learner + 20 * learner
            assert torch.equal(batch.observations[learner], store.gather(slots).observations)


def test_sampling_the_ring_is_uniform(prior):
    store, _ = prior
    ring = RelabeledReplay(1, 20, CPU)
    ring.add(0, torch.arange(20), [torch.arange(20.0)])
    ring.advance(20)
    rewards = ring.sample(store, 20_000, torch.Generator().manual_seed(1)).rewards[0]
    counts = np.bincount(rewards.int().numpy(), minlength=20)
    chi_square = float(((counts - 1000) ** 2 / 1000).sum())
    assert abs(chi_square - 19) < 5 * np.sqrt(38)


def test_capacity_is_what_the_updates_can_fill_and_at_most_what_is_declared(prior):
    """12 updates relabel three times: 180 transitions; a declared 100 forgets the first of them."""
    assert tuned(prior, False)[0]._synthetic.capacity == 180
    assert tuned(prior, False, but(relabel_capacity=100))[0]._synthetic.capacity == 100
    assert tuned(prior, False, but(relabel_capacity=10))[0]._synthetic.capacity == 60


def test_with_embedding_appends_to_both_observations():
    batch = Transitions(
        torch.zeros(1, 2, 3), torch.ones(1, 2, 2), torch.ones(1, 2), torch.ones(1, 2, 3), torch.zeros(1, 2)
    )
    joined = with_embedding(batch, torch.tensor([[[7.0], [8.0]]]))
    assert joined.observations.tolist() == [[[0, 0, 0, 7], [0, 0, 0, 8]]]
    assert joined.next_observations.tolist() == [[[1, 1, 1, 7], [1, 1, 1, 8]]]
    assert joined.actions is batch.actions
    shared = with_embedding(batch, torch.tensor([[9.0]]))  # one per task, the same for all its rows
    assert shared.observations.tolist() == [[[0, 0, 0, 9], [0, 0, 0, 9]]]


@pytest.mark.parametrize("predicts_dynamics", [False, True])
def test_the_real_model_and_learners_improve_only_their_own_task(prior, predicts_dynamics):
    """Nothing of learner 1 (its phi, its model, its data) reaches learner 0, and the model is left as it was."""
    generator = torch.Generator().manual_seed(0)
    model = ContextModel(
        STATE, ACTION, CONTEXT, (8, 8), predicts_dynamics=predicts_dynamics, negative_slope=0.2, precision="fp32"
    )
    theta = repeat_ensemble(model.initial(generator), 2)
    settings = SacSettings(0.99, 0.005, 1e-2, 1.0, "auto", -1.0, "fp32")
    learner = SoftActorCritic.initial(settings, STATE + CONTEXT, ACTION, (8, 8), generator)
    real = Transitions(*(field / 1e6 for field in real_data(2)))
    results = []
    for change in (0.0, 0.5):
        own = as_leaves(theta)
        with torch.no_grad():
            for parameter in own:
                parameter[1] += change
        contexts = torch.tensor([[0.3], [0.7 + change]])
        adapted = AdaptedModel(model, own, contexts)
        relabeling = Relabeling(SETTINGS, StoredExperience(*prior, never), adapted, contexts, real, UPDATES)
        tuning = FineTuning(learner.copies(2), relabeling)
        before = [parameter.detach().clone() for parameter in own]
        losses = tuning.run_to(6, torch.Generator().manual_seed(1))
        assert losses["critic_loss"].shape == (2,)
        assert all(torch.equal(left, right) for left, right in zip(before, own))
        results.append(tuning.policy)
    for left, right in zip(*results):
        assert torch.equal(left[0], right[0])
    assert any(not torch.equal(left[1], right[1]) for left, right in zip(*results))
    assert any(not torch.equal(left[0], start[0]) for left, start in zip(results[0], learner.policy))
