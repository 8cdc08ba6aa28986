"""What must be true of every split, as checks that can fail: the lists, the shift, the simulation and the record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tasks.list_checks import contradictions
from tasks.registry import MODULES, InvalidDeclaration, check_lists, get_family, make_batch, splits
from tasks.spec import BatchedEnvironment, TaskFamily, TaskSplit
from tasks.splits import RECORDED_HASHES
from tasks.tuning import leaks, shared_test_tasks

PROBE_STEPS = 10  # control steps after which two tasks must have differed
TRAJECTORY_STEPS = 25
TRAJECTORY_TASKS = 6


class Check(NamedTuple):
    """One verified property of a split, in words."""

    name: str
    passed: bool
    detail: str


def verify(split: TaskSplit) -> list[Check]:
    """The checks of a split: its lists, its role, that tasks differ, that rows agree with single simulations, its hash.

    Raises:
        UnknownName: the split's family does not exist.
    """
    family = get_family(split.family)
    try:
        check_lists(split, family)
    except InvalidDeclaration as problem:
        return [Check("lists", False, str(problem))]
    checks = (check_disjoint, check_role, check_tasks_differ, check_rows_agree, check_hash)
    return [check(split) for check in checks]


# --- 1: the lists and what they are for ---


def check_disjoint(split: TaskSplit) -> Check:
    """Whether the lists are to each other, and to the training distribution, what their names and the shift say."""
    problems = contradictions(split, get_family(split.family))
    declared = split.shift.replace("_", " ") + (", test_id is train" if split.test_id_is_train else "")
    return Check("lists", not problems, "; ".join(problems) or f"as declared: {declared}")


def check_role(split: TaskSplit) -> Check:
    """Whether a tuning split keeps to the training distributions of the splits that it tunes, off all test lists.

    And whether nothing is tuned on what a benchmark split tests.
    """
    if split.role == "tuning":
        problems = leaks(split, get_family(split.family), splits())
        fine = f"tuning: inside the training of {', '.join(split.tunes)}, and on no test list of the family"
    else:
        siblings = [other for other in splits() if other.family == split.family and other.role == "tuning"]
        problems = [f"of {other.full_name} {words}" for other in siblings for words in shared_test_tasks(other, split)]
        fine = f"benchmark: no test task is on a list of {', '.join(s.full_name for s in siblings) or 'a tuning split'}"
    return Check("role", not problems, "; ".join(problems) or fine)


# --- 2: the shift bites ---


def check_tasks_differ(split: TaskSplit) -> Check:
    """Whether any two tasks tell themselves apart under the same actions from the same initial state.

    In a reward-varying family by their rewards alone, with next states that are the same bit for bit; in a
    dynamics-varying one by their next states. The first observation must be the same: it does not tell the task.
    """
    family = get_family(split.family)
    named = {task.values: f"{name} {task.index}" for name in split.lists for task in split.tasks(name)}
    values = np.array(list(named))
    observations, rewards = _probe(make_batch(family, len(values)), values)
    if (observations[:, 0] != observations[0, 0]).any():
        return Check("tasks differ", False, "the first observation of an episode depends on the task")
    if family.varies == "reward" and (observations != observations[0]).any():
        return Check("tasks differ", False, "declared as reward-varying, but the next states depend on the task")
    alike = _alike(rewards if family.varies == "reward" else observations, list(named.values()))
    what = "rewards" if family.varies == "reward" else "next states"
    if alike:
        more = f" and {len(alike) - 3} more pairs" if len(alike) > 3 else ""
        return Check("tasks differ", False, f"the same {what} in {'; '.join(alike[:3])}{more}: the shift does not bite")
    pairs = len(values) * (len(values) - 1) // 2
    return Check("tasks differ", True, f"different {what} in all {pairs} pairs of {len(values)} tasks")


def _probe(environment: BatchedEnvironment, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observations (task, step + 1, observation) and rewards (task, step) of the same actions in every task."""
    family, rows = environment.family, np.arange(len(values))
    environment.set_tasks(values)
    observations = [environment.reset(rows, [np.random.default_rng(0) for _ in rows])]
    rewards = []
    for actions in _actions(family, np.random.default_rng(1), min(PROBE_STEPS, family.horizon)):
        step = environment.step(np.tile(actions, (len(values), 1)))
        observations.append(step.observations)
        rewards.append(step.rewards)
    return np.stack(observations, axis=1), np.stack(rewards, axis=1)


def _actions(family: TaskFamily, generator: np.random.Generator, steps: int) -> np.ndarray:
    return generator.uniform(-1.0, 1.0, (steps, family.action_dim)).astype(np.float32)


def _alike(shown: np.ndarray, labels: list[str]) -> list[str]:
    """Pairs of tasks, in words, that show exactly the same numbers, (task, ...).

    Only exact equality counts: both tasks were computed from the same numbers but for their own parameters.
    """
    first_with: dict[bytes, str] = {}
    alike = []
    for label, row in zip(labels, shown):
        other = first_with.setdefault((row + 0.0).tobytes(), label)  # adding zero turns -0.0 into 0.0
        if other != label:
            alike.append(f"{other} and {label}")
    return alike


# --- 3: rows of a batch are simulations of their own ---


def check_rows_agree(split: TaskSplit) -> Check:
    """Whether tasks simulated side by side, with rows idle at random, do exactly what each does alone."""
    family = get_family(split.family)
    tasks = [task for name in ("train", "test") for task in split.tasks(name)]
    chosen = [tasks[index] for index in np.linspace(0, len(tasks) - 1, TRAJECTORY_TASKS).round().astype(int)]
    values = np.array([task.values for task in chosen])
    steps = min(TRAJECTORY_STEPS, family.horizon)
    actions = np.stack([_actions(family, np.random.default_rng([2, row]), steps) for row in range(len(chosen))])
    together = _side_by_side(make_batch(family, len(chosen)), values, actions)
    single = make_batch(family, 1)
    for row, task in enumerate(chosen):
        alone = _alone(single, values[row], actions[row], row)
        for quantity, one, many in zip(("observations", "rewards", "terminated"), alone, together):
            if not np.array_equal(one, many[row]):
                step = int(np.argmax([not np.array_equal(a, b) for a, b in zip(one, many[row])]))
                detail = f"task {task.index}: {quantity} differ from step {step} on between a batch and a single row"
                return Check("rows agree", False, detail)
    return Check("rows agree", True, f"{len(chosen)} tasks, {steps} steps: batched and single agree bit for bit")


def _alone(
    environment: BatchedEnvironment, values: np.ndarray, actions: np.ndarray, row: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations (step + 1, observation), rewards (step,) and terminations (step,) of one task in one row."""
    environment.set_tasks(values[None])
    first = environment.reset(np.arange(1), [np.random.default_rng([3, row])])[0]
    steps = [environment.step(action[None]) for action in actions]
    observations = np.stack([first, *(step.observations[0] for step in steps)])
    return observations, np.array([s.rewards[0] for s in steps]), np.array([s.terminated[0] for s in steps])


def _side_by_side(
    environment: BatchedEnvironment, values: np.ndarray, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_alone`, with one more axis for rows in front; in each call a random half of the rows is idle."""
    num_rows, num_steps = actions.shape[:2]
    rows, idle = np.arange(num_rows), np.random.default_rng(4)
    environment.set_tasks(values)
    first = environment.reset(rows, [np.random.default_rng([3, row]) for row in range(num_rows)])
    observations = np.empty((num_rows, num_steps + 1, first.shape[1]), dtype=np.float32)
    rewards = np.empty((num_rows, num_steps), dtype=np.float32)
    terminated = np.empty((num_rows, num_steps), dtype=bool)
    observations[:, 0] = first
    done = np.zeros(num_rows, dtype=np.int64)
    while (done < num_steps).any():
        active = (done < num_steps) & (idle.random(num_rows) < 0.5)
        step = environment.step(actions[rows, np.minimum(done, num_steps - 1)], active)
        now = np.flatnonzero(active)
        observations[now, done[now] + 1] = step.observations[now]
        rewards[now, done[now]], terminated[now, done[now]] = step.rewards[now], step.terminated[now]
        done[now] += 1
    return observations, rewards, terminated


# --- 4: the record ---


def check_hash(split: TaskSplit) -> Check:
    """Whether the lists are those on record."""
    recorded = RECORDED_HASHES.get(split.full_name)
    if recorded is None and split.full_name in MODULES:
        return Check("hash", True, f"{split.hash}; of a plugin's split no record is kept")
    if recorded is None:
        return Check("hash", False, f"{split.full_name} is not on record: `tasks.splits` has no hash of it")
    if split.hash == recorded:
        return Check("hash", True, f"{split.hash}, as recorded")
    return Check("hash", False, f"lists hash to {split.hash}, recorded is {recorded}: a change needs a new version")
