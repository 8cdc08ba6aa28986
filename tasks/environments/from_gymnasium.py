"""`from_gymnasium`: what turns anyone's gymnasium environment into a declared family of tasks."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Box, flatdim

from tasks.environments.gymnasium_rows import GymnasiumRows, Make, Rule, SetParameter, never
from tasks.errors import UserError, in_words
from tasks.spec import Parameter, TaskFamily


def from_gymnasium(
    environment: str | Make,
    *,
    name: str,
    set_parameter: SetParameter,
    parameters: Sequence[Parameter],
    varies: Literal["reward", "dynamics"],
    terminated: Rule | None = None,
    horizon: int | None = None,
    dt: float | None = None,
    version: int = 1,
    nickname: str | None = None,
    views: Mapping[str, tuple[int, ...]] | None = None,
    description: str = "",
    source: str = "",
) -> TaskFamily:
    """A family of tasks in which an environment of gymnasium's has some of its parameters varied.

    To be called in a plugin, `FAMILIES = (offmap.family.from_gymnasium(...),)`. The environment is made once, to read
    its spaces. Observations are flattened to float32; actions in [-1, 1] are scaled to the bounds of the environment;
    rewards are the environment's own, in its units, and their undiscounted sum over the horizon is a return.

    Args:
        environment: An id such as `Pendulum-v1`, or a function that makes an environment without a time limit.
        name: Of the family.
        set_parameter: `(environment, *values)`, called before every reset with a number per parameter (an array where
            its size is not 1). Of an id the environment is the innermost one, otherwise what the function made.
        parameters: What is varied.
        varies: Whether tasks differ in their rewards alone, or in their dynamics.
        terminated: The environment's own rule as a function of next observations (..., observation), NumPy or torch,
            to booleans (...); None: its episodes never end before the horizon.
        horizon: Steps of an episode; None: the time limit that the id is registered with.
        dt: Seconds of a step; None: what the environment says (`dt`, or `render_fps` of its metadata).
        version: Of the family; a change of the environment that changes results is a new version.
        nickname: None: the name.
        views: As `TaskFamily.views`.
        description: One sentence.
        source: Where the environment is from; if empty, its id.

    Raises:
        UserError: there is no such environment, its spaces are of another kind, or something has to be given.
    """
    is_id = isinstance(environment, str)
    called = environment if isinstance(environment, str) else getattr(environment, "__name__", "environment")
    make = _maker(environment) if isinstance(environment, str) else environment
    if not callable(set_parameter):
        raise UserError(f"{name}: set_parameter is {set_parameter!r}, and no function (environment, *values)")
    with in_words(f"{name}: {called} cannot be made"):
        sample = make()
        if not isinstance(sample, gymnasium.Env):
            raise TypeError(f"it made {sample!r}, which is no gymnasium.Env")
    _refuse_spaces(f"{name}: {called}", sample)

    def set_inner(made: gymnasium.Env, *values: Any) -> None:
        set_parameter(made.unwrapped if is_id else made, *values)

    # As `namedtuple` does: the class belongs to whoever declares the family, where every process finds it.
    module = sys._getframe(1).f_globals["__name__"]
    rows = type(f"rows_of_{name.replace('-', '_')}", (GymnasiumRows,), {
        "__module__": module, "make": staticmethod(make), "called": called, "set_parameter": staticmethod(set_inner),
        "terminated": staticmethod(terminated or never),
    })  # fmt: skip
    setattr(sys.modules[module], rows.__name__, rows)
    return TaskFamily(
        name=name, version=version, nickname=nickname or name, body=called, varies=varies,
        parameters=tuple(parameters), observation_dim=flatdim(sample.observation_space),
        action_dim=flatdim(sample.action_space),
        horizon=_time_limit(name, environment) if horizon is None else horizon,
        dt=_seconds(name, sample) if dt is None else dt, terminates=terminated is not None, row_by_row=True,
        views=views or {},
        entry_point=f"{module}:{rows.__name__}", description=description or f"{called} with other parameters.",
        source=source or f"gymnasium: {called}",
    )  # fmt: skip


def _maker(environment_id: str) -> Make:
    """What makes an environment by its id, without the time limit that it is registered with."""

    def make() -> gymnasium.Env:
        try:
            return gymnasium.make(environment_id, max_episode_steps=-1, disable_env_checker=True)
        except gymnasium.error.UnregisteredEnv as error:
            near = difflib.get_close_matches(environment_id, gymnasium.registry, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"there is no environment {environment_id!r}: {error}{hint}") from None

    return make


def _refuse_spaces(what: str, environment: gymnasium.Env) -> None:
    """Nothing, if algorithms can act in an environment and see it.

    Raises:
        UserError: its actions are not numbers with bounds, or its observations no fixed number of numbers.
    """
    actions, observations = environment.action_space, environment.observation_space
    if not isinstance(actions, Box) or not np.issubdtype(actions.dtype, np.floating):
        raise UserError(
            f"{what} has the action space {actions}; algorithms here give continuous actions: wrap it in a "
            "gymnasium.ActionWrapper whose action_space is a Box, and give a function that makes it"
        )
    if not (np.isfinite(actions.low).all() and np.isfinite(actions.high).all() and (actions.low < actions.high).all()):
        raise UserError(
            f"{what} has the action space {actions}, to whose bounds actions in [-1, 1] cannot be scaled: give it "
            "finite ones (gymnasium.wrappers.ClipAction or an ActionWrapper), in a function that makes it"
        )
    if not observations.is_np_flattenable:
        raise UserError(
            f"{what} has the observation space {observations}, which is no fixed number of numbers: wrap it in a "
            "gymnasium.ObservationWrapper whose observation_space is a Box, and give a function that makes it"
        )


def _time_limit(name: str, environment: str | Make) -> int:
    """The steps of an episode that an id is registered with.

    Raises:
        UserError: there are none.
    """
    steps = gymnasium.spec(environment).max_episode_steps if isinstance(environment, str) else None
    if steps is None:
        raise UserError(f"{name}: nothing says how long an episode is; give `horizon`, in steps")
    return int(steps)


def _seconds(name: str, environment: gymnasium.Env) -> float:
    """The simulated seconds of a step, as an environment says.

    Raises:
        UserError: it does not.
    """
    dt = getattr(environment.unwrapped, "dt", None)
    frames = environment.metadata.get("render_fps")
    if isinstance(dt, float | int) and dt > 0:
        return float(dt)
    if frames:
        return 1.0 / float(frames)
    raise UserError(f"{name}: nothing says how long a step is; give `dt`, in seconds (1.0 where time has no unit)")
