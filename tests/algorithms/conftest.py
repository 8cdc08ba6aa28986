import numpy as np
import pytest
import torch

from algorithms.mier import Mier, MierTrain
from tasks.spec import EpisodeBatch, SpaceSpec


class RandomSource:
    """A task source of random data, for tests of mathematics: no environment behind it."""

    def __init__(self, observation_dim=3, action_dim=2, horizon=10, num_tasks=4, seed=0):
        self.spaces = SpaceSpec(observation_dim=observation_dim, action_dim=action_dim, horizon=horizon)
        self.num_tasks = num_tasks
        self.generator = np.random.default_rng(seed)

    def collect(self, act, tasks, transitions, before_episode=None, after_step=None):
        rows, horizon, draw = len(tasks), self.spaces.horizon, self.generator
        episodes = transitions // horizon
        if before_episode is not None:
            for _ in range(episodes):
                before_episode(np.arange(rows))
        number = rows * episodes
        row = np.repeat(np.arange(rows), episodes)
        return EpisodeBatch(
            observations=draw.standard_normal((number, horizon + 1, self.spaces.observation_dim)).astype(np.float32),
            actions=draw.uniform(-1, 1, (number, horizon, self.spaces.action_dim)).astype(np.float32),
            rewards=draw.standard_normal((number, horizon)).astype(np.float32),
            lengths=np.full(number, horizon),
            terminated=np.zeros(number, bool),
            rows=row,
            tasks=np.asarray(tasks)[row],
        )

    def terminated(self, next_observations):
        return torch.zeros(next_observations.shape[:-1], dtype=torch.bool, device=next_observations.device)

    @property
    def reward(self):
        return lambda observations, actions, next_observations: -(next_observations * next_observations).sum(-1)


@pytest.fixture
def random_source():
    return RandomSource()


@pytest.fixture
def small_mier(random_source):
    """A function (**changes of the configuration) -> a MIER with tiny networks on random data."""

    def build(**changes):
        config = {"model_hidden": (7, 6, 5), "policy_hidden": (8, 8), "context_dim": 2, "precision": "fp32"}
        config |= {"task_batch": 6, "meta_batch": 3, "steps_per_iteration": 2, "tasks_per_iteration": 2}
        config |= {"initial_transitions": 20, "prior_transitions": 20, "adapted_transitions": 20}
        config = MierTrain(**(config | changes))
        return Mier(config, random_source, seed=0, device=torch.device("cpu"), capacity=1000)

    return build


@pytest.fixture
def finite_differences():
    """A function (scalar loss of nothing, float64 tensor) -> the loss's gradient in the tensor, by central steps."""

    def differentiate(loss, tensor, epsilon=1e-6):
        gradient = torch.empty_like(tensor, requires_grad=False)
        values, entries = tensor.detach().view(-1), gradient.view(-1)
        for index in range(len(values)):
            kept = values[index].item()
            values[index] = kept + epsilon
            high = loss().item()
            values[index] = kept - epsilon
            low = loss().item()
            values[index] = kept
            entries[index] = (high - low) / (2 * epsilon)
        return gradient

    return differentiate


@pytest.fixture
def on_policy():
    """A function (learner, inner steps) -> its theta in float64 and data of each inner step and after the last.

    The data are what the policies really draw on random observations, with random advantages.
    """
    from algorithms.kit.on_policy.policy_gradient import PolicyData, distribution, inner_step, policy_per_task

    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def build(learner, inner_steps=1, tasks=2, samples=30):
        learner.theta = [p.detach().double().requires_grad_(True) for p in learner.theta]
        policy, data = policy_per_task(learner.theta, tasks), []
        for step in range(inner_steps + 1):
            observations = normal(tasks, samples, 3)
            means, log_std = (value.detach() for value in distribution(policy, observations))
            actions = means + log_std.exp() * normal(*means.shape)
            data.append(PolicyData(observations, actions, means, log_std, normal(tasks, samples)))
            if step < inner_steps:
                rate = learner.config.inner_learning_rate
                policy = inner_step(policy, data[-1], learner.inner_loss, rate).policy
        return data[:-1], data[-1]

    return build
