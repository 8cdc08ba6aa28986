import numpy as np
import pytest
import torch

from tasks.spec import EpisodeBatch, SpaceSpec


class RandomSource:
    """A task source of random data, for tests of mathematics: no environment behind it."""

    def __init__(self, observation_dim=3, action_dim=2, horizon=10, num_tasks=4, seed=0):
        self.spaces = SpaceSpec(observation_dim=observation_dim, action_dim=action_dim, horizon=horizon)
        self.num_tasks = num_tasks
        self.generator = np.random.default_rng(seed)

    def collect(self, act, tasks, transitions, before_episode=None):
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
        return torch.zeros(next_observations.shape[:-1], dtype=torch.bool)


@pytest.fixture
def random_source():
    return RandomSource()
