"""The task families of the benchmark, as frozen data. Their splits are in `tasks.splits`.

Sources: Mendonca et al. 2020, "Meta-Reinforcement Learning Robust to Distributional Shift via Model
Identification and Experience Relabeling" (MIER), for everything that is negated or out of distribution; Kim, Park,
Kim and Han 2025 (TAVT), for the families whose masses vary; Rakelly et al. 2019, "Efficient Off-Policy
Meta-Reinforcement Learning via Probabilistic Context Variables" (PEARL), for the rest.
"""

from __future__ import annotations

import math
from functools import partial

from tasks.spec import Parameter, TaskFamily

MIER = "Mendonca et al. 2020 (MIER)"
PEARL = "Rakelly et al. 2019 (PEARL)"
TAVT = "Kim, Park, Kim and Han 2025 (TAVT)"

_SPEED = Parameter(name="target_speed", unit="m/s", description="speed to run at, along x")
_DIRECTION = Parameter(name="direction", unit="", low=-1, high=1, description="+1 forwards, -1 backwards")
_ANGLE = Parameter(
    name="angle", unit="rad", low=0.0, high=2 * math.pi, description="direction to walk in, from the x axis"
)


def _signs(actuators: int) -> Parameter:
    return Parameter(
        name="joint_signs", unit="", low=-1, high=1, size=actuators, description="-1 where a joint is negated"
    )


def _multiplier(name: str, size: int, description: str) -> Parameter:
    return Parameter(name=name, unit="x nominal", low=0.0, size=size, description=description)


_MASS = _multiplier("mass", 1, "of all bodies alike; inertias, damping and friction stay nominal")
_MEAN_SPEED = "the speed is the mean of the observed speeds before and after the step, as x is not observed"

# No number that grows without bound as the body moves away: without the torso's x, y and z (17, as in ProMP's code).
_CHEETAH_VIEWS = {"without_position": tuple(range(17))}

_cheetah = partial(
    TaskFamily, body="cheetah", observation_dim=20, action_dim=6, dt=0.05, terminates=False, views=_CHEETAH_VIEWS,
)  # fmt: skip
_ant = partial(TaskFamily, body="ant", observation_dim=27, action_dim=8, dt=0.05, terminates=True)
_walker = partial(
    TaskFamily, body="walker", observation_dim=17, action_dim=6, dt=0.016, terminates=True, analytic_reward=_MEAN_SPEED
)
_hopper = partial(
    TaskFamily, body="hopper", observation_dim=11, action_dim=3, dt=0.016, terminates=True, analytic_reward=_MEAN_SPEED
)
_point = partial(
    TaskFamily, body="point", observation_dim=2, action_dim=2, dt=1.0, terminates=False, horizon=20
)  # fmt: skip

FAMILIES: tuple[TaskFamily, ...] = (
    _cheetah(
        name="cheetah-velocity",
        nickname="cheetah-vel",
        varies="reward",
        parameters=(_SPEED,),
        entry_point="tasks.environments.cheetah:CheetahVelocity",
        description="Run at a target speed that only the reward tells.",
        source=PEARL,
    ),
    _cheetah(
        name="cheetah-direction",
        nickname="cheetah-fwd-back",
        varies="reward",
        parameters=(_DIRECTION,),
        entry_point="tasks.environments.cheetah:CheetahDirection",
        description="Run as fast as possible forwards or backwards.",
        source=PEARL,
    ),
    _cheetah(
        name="cheetah-negated-joints",
        nickname="cheetah-neg",
        varies="dynamics",
        parameters=(_signs(6),),
        analytic_reward="exact, but for the first step of an episode: the torso is observed one substep behind the "
        "state in later ones, which costs up to a fifth of the initial speed (0.1 m/s, standard deviation)",
        entry_point="tasks.environments.cheetah:CheetahNegatedJoints",
        description="Run forwards while the actions of some joints are negated.",
        source=MIER,
    ),
    _ant(
        name="ant-direction",
        nickname="ant-dir",
        varies="reward",
        parameters=(_ANGLE,),
        entry_point="tasks.environments.ant:AntDirection",
        description="Walk in a direction of the plane that only the reward tells.",
        source=f"{PEARL}; {MIER}",
    ),
    _ant(
        name="ant-goal",
        nickname="ant-position",
        varies="reward",
        observation_dim=113,
        terminates=False,
        parameters=(Parameter(name="goal", unit="m", size=2, description="x and y of the place to be at"),),
        entry_point="tasks.environments.ant:AntGoal",
        description="Walk to a goal on a disc of radius 3 m.",
        source=PEARL,
    ),
    _ant(
        name="ant-negated-joints",
        nickname="ant-neg",
        varies="dynamics",
        parameters=(_signs(8),),
        analytic_reward="leaves out the contact cost (at most 0.042 per step); the speed is the mean of the observed "
        "speeds before and after the step, as x is not observed",
        entry_point="tasks.environments.ant:AntNegatedJoints",
        description="Walk forwards while the actions of some joints are negated.",
        source=MIER,
    ),
    TaskFamily(
        name="humanoid-direction",
        nickname="humanoid-dir",
        body="humanoid",
        varies="reward",
        parameters=(_ANGLE,),
        observation_dim=376,
        action_dim=17,
        dt=0.015,
        terminates=True,
        entry_point="tasks.environments.humanoid:HumanoidDirection",
        description="Walk upright in a direction of the plane that only the reward tells. The left hip bends to -110 "
        "degrees as the right one does; in the XML of the published results it is -120.",
        source=PEARL,
    ),
    _walker(
        name="walker-parameters",
        nickname="walker-rand-params",
        varies="dynamics",
        parameters=(
            _multiplier("body_mass", 8, "of each body, the world first"),
            _multiplier("body_inertia", 24, "of each body and principal axis, the world first"),
            _multiplier("joint_damping", 9, "of each degree of freedom, the root's three first"),
            _multiplier("friction", 24, "of each geom: sliding, torsional, rolling; the floor first"),
        ),
        entry_point="tasks.environments.walker:WalkerParameters",
        description="Walk forwards with a body whose masses, inertias, damping and friction are unknown.",
        source=f"{PEARL}; {MIER}",
    ),
    _walker(
        name="walker-mass",
        nickname="walker-mass-scale",
        varies="dynamics",
        parameters=(_MASS,),
        entry_point="tasks.environments.walker:WalkerMass",
        description="Walk forwards with a body whose masses are an unknown multiple of the nominal ones.",
        source=TAVT,
    ),
    _hopper(
        name="hopper-mass",
        nickname="hopper-mass-scale",
        varies="dynamics",
        parameters=(_MASS,),
        entry_point="tasks.environments.hopper:HopperMass",
        description="Hop forwards with a body whose masses are an unknown multiple of the nominal ones.",
        source=TAVT,
    ),
    _point(
        name="point-goal",
        nickname="point",
        varies="reward",
        parameters=(_ANGLE.model_copy(update={"description": "where on the unit circle the goal is"}),),
        entry_point="tasks.environments.point:PointGoal",
        description="Move a point from the origin to a goal on the unit circle that only the reward tells.",
        source="this benchmark: a family that trains in seconds",
    ),
    _point(
        name="point-dynamics",
        nickname="point-rotation",
        varies="dynamics",
        parameters=(_ANGLE.model_copy(update={"description": "by how much actions are rotated"}),),
        analytic_reward="exact",
        entry_point="tasks.environments.point:PointDynamics",
        description="Bring a point to the origin while its actions are rotated by an unknown angle.",
        source="this benchmark: a family that trains in seconds",
    ),
)
