"""Many MuJoCo simulations of one body, one task per row: what all bodies share.

A body module says what is observed and measured, a family's class says its reward; both are vectorised over rows.
Rows do not influence one another: the same task, generator and actions give the same trajectory, bit for bit, in
any row of a batch of any size.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import mujoco
import numpy as np
from mujoco.batch import Batch

from tasks.spec import Step, TaskFamily

if TYPE_CHECKING:
    from tasks.environments.rendering import Camera

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
_STATE_WARNINGS = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
]


def all_finite(observations: Any) -> Any:
    """Whether all values of each observation are finite; (..., observation) -> (...), NumPy or torch."""
    return (abs(observations) < math.inf).all(-1)


def load_model(xml: str, timestep: float | None = None) -> mujoco.MjModel:
    """The compiled model of one of gymnasium's XML files, with another timestep (s) if one is given."""
    spec = mujoco.MjSpec.from_file(str(ASSETS / xml))
    total_mass, spec.compiler.settotalmass = spec.compiler.settotalmass, -1
    if timestep is not None:
        spec.option.timestep = timestep
    model = spec.compile()
    if total_mass > 0:  # the same as the compiler's own attribute, which MuJoCo is about to remove
        mujoco.mj_setTotalmass(model, total_mass)
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def squared(values: np.ndarray) -> np.ndarray:
    """Sum of squares of each row, (row, n) -> (row,)."""
    return np.square(values).sum(axis=1)


def squared_actions(actions: Any) -> Any:
    """Sum of squares of actions, clipped to [-1, 1] as on their way to the actuators; (..., action) -> (...)."""
    clipped = actions.clip(-1.0, 1.0)
    return (clipped * clipped).sum(-1)


def unit_vectors(angles: np.ndarray) -> np.ndarray:
    """(cos, sin) of each angle (rad), (row,) -> (row, 2).

    One angle at a time: vectorised cosines may differ in the last bit with the place in the array.
    """
    return np.array([(math.cos(angle), math.sin(angle)) for angle in angles])


class Simulation(ABC):
    """Base of the batched environments on MuJoCo; implements `tasks.spec.BatchedEnvironment`.

    Derived quantities such as `xpos` are those of the last substep, one behind the state, as after `mj_step`; the
    published results were obtained that way.

    Attributes:
        values: (row, parameter) the task that each row is running.
        contact_forces: (row, 6 x body) torques (N m) and forces (N) of contacts on each body, `cfrc_ext`; only
            where a family uses them, as MuJoCo computes them on request since version 2.
    """

    xml: ClassVar[str]
    timestep: ClassVar[float | None] = None
    frame_skip: ClassVar[int]
    uses_contact_forces: ClassVar[bool] = False

    def __init__(self, family: TaskFamily, num_rows: int, threads: int = 1) -> None:
        self.family, self.num_rows = family, num_rows
        self.model = load_model(self.xml, self.timestep)
        self.dt = self.model.opt.timestep * self.frame_skip
        self.batch = Batch(self.model, num_rows, nthread=threads, persistent=self.uses_contact_forces)
        self.qpos, self.qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self.xpos = self.batch.bind("xpos")
        low, high = self.model.actuator_ctrlrange.T
        self._ctrl, self._low, self._high = self.batch.bind("ctrl"), low.copy(), high.copy()
        self._middle, self._half_range = (high + low) / 2, (high - low) / 2
        self.values = np.zeros((num_rows, family.parameter_dim))
        self._next_values = self.values.copy()
        self._started = np.zeros(num_rows, dtype=bool)
        self._observations = np.zeros((num_rows, family.observation_dim), dtype=np.float32)
        self._warnings = self._count_warnings()
        self._camera: Camera | None = None
        if self.uses_contact_forces:
            self.contact_forces = np.zeros((num_rows, 6 * self.model.nbody))
            self._scratch = mujoco.MjData(self.model)

    # --- what a body and a family say ---

    @abstractmethod
    def reset_noise(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What is added to the initial positions (nq,) and velocities (nv,)."""

    @abstractmethod
    def position(self) -> np.ndarray:
        """The position whose change is rewarded, (row,) or (row, axis), in m; a copy."""

    @abstractmethod
    def observe(self) -> list[np.ndarray]:
        """The parts of the observations, each (row, ...), in order."""

    @abstractmethod
    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Rewards (row,) from the velocity over the step, like `position` per s, and the control (row, action)."""

    def applied(self, control: np.ndarray) -> np.ndarray:
        """The control that reaches the actuators, (row, action)."""
        return control

    def start_tasks(self, rows: np.ndarray) -> None:
        """Make the tasks that `set_tasks` gave take effect in these rows."""
        self.values[rows] = self._next_values[rows]

    @staticmethod
    def terminated(next_observations: Any) -> Any:
        """Whether an episode ends with these observations, (..., observation) -> (...): never, for this body."""
        return next_observations[..., 0] < -math.inf

    def image(self, row: int) -> np.ndarray:
        """What a row's body looks like now, (height, width, 3) bytes.

        Raises:
            RenderingUnavailable: OpenGL does not work here.
        """
        if self._camera is None:
            from tasks.environments.rendering import Camera

            self._camera = Camera(self.model)
        return self._camera.image(self.qpos[row])

    # --- the batched environment ---

    def set_tasks(self, values: np.ndarray) -> None:
        """Give every row its task, `values: (row, parameter)`; takes effect at the row's next reset.

        Raises:
            ValueError: `values` has another shape.
        """
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self.values.shape:
            raise ValueError(
                f"{self.family.name}: task values of shape {values.shape} given, (row, parameter) = "
                f"{self.values.shape} needed."
            )
        self._next_values = values.copy()

    def reset(self, rows: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Observations of all rows, (row, observation), after an episode was started in the named rows."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) != len(generators):
            raise ValueError(f"{len(rows)} rows and {len(generators)} generators given: one per row is needed.")
        if len(rows) == 0:
            return self._observations.copy()
        self.start_tasks(rows)
        self.batch.reset(rows, stage=mujoco.mjtStage.mjSTAGE_NONE)
        for row, generator in zip(rows, generators):
            position_noise, velocity_noise = self.reset_noise(generator)
            self.qpos[row] += position_noise
            self.qvel[row] += velocity_noise
        self.batch.forward(rows)
        self._after_physics(rows)
        self._started[rows] = True
        self._warnings = self._count_warnings()
        self._observations = self._concatenate()
        return self._observations.copy()

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> Step:
        """Advance the active rows (boolean mask; None: all) by one control step. actions: (row, action)."""
        rows = self._active_rows(active)
        control = self._control(actions, rows)
        if rows is None:
            self._ctrl[...] = control
        else:
            self._ctrl[rows] = control[rows]
        before = self.position()
        self.batch.step(rows, nstep=self.frame_skip)
        self._after_physics(rows)
        rewards = self.reward((self.position() - before) / self.dt, control).astype(np.float32)
        observations = self._concatenate()
        terminated = self.terminated(observations)
        diverged = self._diverged()
        if diverged is not None:
            observations[diverged] = self._observations[diverged]
            rewards[diverged], terminated[diverged] = 0.0, True
        if active is not None:
            rewards[~active], terminated[~active] = 0.0, False
        self._observations = observations
        return Step(observations.copy(), rewards, terminated)

    def _active_rows(self, active: np.ndarray | None) -> np.ndarray | None:
        """The active rows as indices, or None for all of them."""
        if active is not None and active.all():
            active = None
        started = self._started if active is None else self._started[active]
        if not started.all():
            waiting = np.flatnonzero(~self._started if active is None else ~self._started & active)
            raise RuntimeError(f"rows {waiting[:5].tolist()} have not been reset: call reset before step.")
        return None if active is None else np.flatnonzero(active)

    def _control(self, actions: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """Policy actions in [-1, 1] on the actuators' scale, clipped, as they reach the actuators."""
        if actions.shape != self._ctrl.shape:
            raise ValueError(f"actions of shape {actions.shape} given, (row, action) = {self._ctrl.shape} needed.")
        control = self._middle + self._half_range * actions.astype(np.float64)
        control = self.applied(np.clip(control, self._low, self._high))
        if not np.isfinite(control if rows is None else control[rows]).all():
            bad = np.flatnonzero(~np.isfinite(actions).all(axis=1))
            raise ValueError(f"the actions of rows {bad[:5].tolist()} are not finite.")
        return control

    def _after_physics(self, rows: np.ndarray | None) -> None:
        """Compute what MuJoCo leaves out of a step, for these rows (None: all)."""
        if not self.uses_contact_forces:
            return
        for row in range(self.num_rows) if rows is None else rows:
            self.batch.get_data(row, self._scratch)
            mujoco.mj_rnePostConstraint(self.model, self._scratch)
            self.contact_forces[row] = self._scratch.cfrc_ext.reshape(-1)

    def _concatenate(self) -> np.ndarray:
        observations = np.empty((self.num_rows, self.family.observation_dim), dtype=np.float32)
        np.concatenate(self.observe(), axis=1, out=observations, casting="same_kind")
        return observations

    def _count_warnings(self) -> np.ndarray:
        """How often each simulation was found in a bad state so far, (row,)."""
        return self.batch.warning[:, _STATE_WARNINGS].sum(axis=(1, 2))

    def _diverged(self) -> np.ndarray | None:
        """The rows whose simulation became unstable in this step, as a mask, or None.

        MuJoCo puts an unstable simulation back to its initial pose; such a row ends its episode instead, keeps its
        last observation and gets no reward for the step.
        """
        counts = self._count_warnings()
        if (counts == self._warnings).all():
            return None
        diverged, self._warnings = counts != self._warnings, counts
        return diverged
