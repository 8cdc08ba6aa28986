"""Figures of `offmap bench`: sampling and outer steps of MAML and ProMP, at the sizes of the published runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from algorithms.inner_gradient import InnerGradientLearner
from algorithms.kit.networks import Parameters, frozen
from algorithms.kit.on_policy.policy_gradient import PolicyData, distribution
from algorithms.kit.on_policy.rollouts import rollouts_between
from algorithms.maml import Maml, MamlTrain
from algorithms.promp import Promp, PrompTrain
from suite.bench.measurement import PRODUCT_GFLOP, PRODUCT_SIZE, Figure, least_seconds
from suite.run.compute import REFERENCE_RATE
from suite.run.rollout import Meter, TrainingSource
from tasks.registry import get_family, get_split

SPLIT = "cheetah-velocity.standard"
SIZES: dict[str, Any] = {"tasks_per_iteration": 40, "rollouts_per_task": 20, "rollout_transitions": 200}
COLLECTION, PROMP, MAML = "on-policy collection", "ProMP outer step", "MAML outer step"
COLLECTION_LIMIT = 20_000  # environment steps per second
LIMITS = {PROMP: 2.5, MAML: 18.0}  # s


def on_policy_figures() -> list[Figure]:
    """Environment steps per second with the policy, and seconds per outer step, against limits for one core."""
    left, right = torch.rand(2, PRODUCT_SIZE, PRODUCT_SIZE)
    seconds = least_seconds({"product": lambda: torch.mm(left, right)} | on_policy_work(), rounds=1)
    scale = REFERENCE_RATE * seconds["product"] / PRODUCT_GFLOP
    steps = SIZES["tasks_per_iteration"] * SIZES["rollouts_per_task"] * SIZES["rollout_transitions"]
    sizes = "{tasks_per_iteration} tasks x {rollouts_per_task} rollouts".format(**SIZES)
    return [
        Figure(
            COLLECTION, steps / seconds[COLLECTION], "steps/s", COLLECTION_LIMIT / scale, at_least=True,
            note=f"cheetah, {sizes}, policy and advantages included",
        ),
        Figure(PROMP, seconds[PROMP], "s", LIMITS[PROMP] * scale, note=f"5 gradients, {sizes} before and after"),
        Figure(MAML, seconds[MAML], "s", LIMITS[MAML] * scale, note=f"exact products, {sizes} before and after"),
    ]  # fmt: skip


def on_policy_work() -> dict[str, Callable[[], Any]]:
    """A collection with the meta-trained policy, and the outer steps, by name."""
    split, device = get_split(SPLIT), torch.device("cpu")
    source = TrainingSource(get_family(split.family), split.train, 0, Meter())
    promp = Promp(PrompTrain(**SIZES), source, seed=0, device=device, capacity=0)
    maml = Maml(MamlTrain(**SIZES), source, seed=0, device=device, capacity=0)
    tasks = np.arange(SIZES["tasks_per_iteration"])
    return {
        COLLECTION: lambda: promp.collect(frozen(promp.theta), tasks, SIZES["rollouts_per_task"], adapted=False),
        PROMP: outer_step(promp),
        MAML: outer_step(maml),
    }


def outer_step(learner: InnerGradientLearner) -> Callable[[], Any]:
    """An outer step from the same parameters on the same data, every time: random states, real actions."""
    before = random_data(learner, frozen(learner.theta), adapted=False)
    adapted = learner.adapt(learner.theta, before, learner.config.inner_learning_rate)
    after = random_data(learner, adapted, adapted=True)
    kept = [parameter.detach().clone() for parameter in learner.theta]

    def run() -> None:
        for parameter, start in zip(learner.theta, kept):
            parameter.data.copy_(start)
        learner.outer_step([before], after)

    return run


def random_data(learner: InnerGradientLearner, policy: Parameters, adapted: bool) -> PolicyData:
    """What one policy, or one per task, draws in random states, with random rewards."""
    config, generator, spaces = learner.config, learner.generator, learner.source.spaces
    shape = (config.tasks_per_iteration, config.rollouts_per_task, config.rollout_transitions)
    observations = torch.randn((*shape, spaces.observation_dim), generator=generator)
    means, log_std = distribution(policy, observations.view(len(policy[0]), -1, spaces.observation_dim))
    means = means.reshape(*shape, spaces.action_dim)
    noise = torch.randn(means.shape, generator=generator)
    actions = means + noise * log_std.exp().view(-1, 1, 1, spaces.action_dim)
    rewards, never = torch.randn(shape, generator=generator), torch.zeros(shape, dtype=torch.bool)
    rollouts = rollouts_between(observations, rewards, observations.roll(-1, 2), never, learner.time_limit)
    return learner.judged(rollouts, actions, means, log_std, adapted)
