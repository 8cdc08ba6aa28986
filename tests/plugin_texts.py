"""Plugins as users write them: an algorithm in one file, and a family in one."""

ALGORITHM = '''"""Always the same action."""

import numpy as np
from pydantic import Field

from algorithms.references import Untrained, UntrainedAdapt, UntrainedAgent, UntrainedTrain
from algorithms.registry import AlgorithmEntry

ALGORITHMS = (
    AlgorithmEntry(
        name="steady", algorithm="Steady", train="SteadyTrain", adapt="UntrainedAdapt",
        summary="always the same action", source="a test", trains_on=(), title="Steady", colour="#123456", marker="o",
    ),
)


class SteadyTrain(UntrainedTrain):
    """What is always done."""

    action: float = Field(default=0.0, ge=-1, le=1, description="in every direction")


class Steady(Untrained):
    """Always the same action."""

    def agent(self, config, seed):
        """An agent."""
        agent = SteadyAgent(self.source.spaces.action_dim, seed)
        agent.action = self.config.action
        return agent


class SteadyAgent(UntrainedAgent):
    """Always the same action."""

    def fork(self, episodes):
        """Itself."""
        return self

    def act(self, observations, explore):
        """The action."""
        return np.full((len(observations), self.action_dim), self.action, np.float32)
'''

FAMILY = '''"""A point that starts elsewhere."""

from tasks.environments.point import PointGoal
from tasks.spec import Parameter, TaskFamily

FAMILIES = (
    TaskFamily(
        name="far-point", nickname="far", body="point", varies="reward",
        parameters=(Parameter(name="angle", unit="rad", description="where the goal is"),),
        observation_dim=2, action_dim=2, dt=1.0, terminates=False, horizon=20, entry_point=f"{__name__}:FarPoint",
        description="Reach a place on the circle from (2, 2).", source="a test",
    ),
)
SPLITS = (
    {"family": "far-point", "name": "ood", "shift": "out_of_distribution",
     "train": {"uniform": [0, 3], "number": 8, "seed": 1}, "test": {"values": [3.5, 4.0]},
     "adaptation_transitions": 40, "null_return": -60},
)


class FarPoint(PointGoal):
    """From another place."""

    def start(self, generator):
        """Where an episode starts."""
        return 2.0, 2.0
'''

PENDULUM = '''"""gymnasium's pendulum, under another gravity in every task."""

import offmap
from tasks.spec import Parameter


def set_gravity(pendulum, gravity):
    """That of the next episode."""
    pendulum.g = gravity


FAMILIES = (
    offmap.family.from_gymnasium(
        "Pendulum-v1", name="pendulum-gravity", set_parameter=set_gravity, varies="dynamics", horizon=50,
        parameters=(Parameter(name="gravity", unit="m/s^2", low=0),),
    ),
)
SPLITS = (
    {"family": "pendulum-gravity", "name": "heavy", "shift": "out_of_distribution",
     "train": {"uniform": [1, 4], "number": 6, "seed": 1}, "test": {"values": [5.0, 6.0]}, "test_id": {"values": [2.5]},
     "adaptation_transitions": 60, "null_return": -300},
)
'''
