"""What every family has to keep, as checks that can fail: its splits' own, and those of its environment."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from suite.check.report import Check, Failed, Finding, Skipped, carry_out, require
from tasks.registry import make_batch, reward_rule, splits, termination_rule
from tasks.spec import TaskFamily, TaskSplit
from tasks.verify import verify

STEPS = 15


def check_family(family: TaskFamily, source: Path) -> list[Finding]:
    """What comes of each check of a family, which is declared in the file `source`."""
    return list(carry_out(CHECKS, family, source))


def _splits(family: TaskFamily) -> list[TaskSplit]:
    own = [split for split in splits() if split.family == family.name]
    if not own:
        raise Skipped("it has no splits: declare SPLITS beside FAMILIES")
    return own


def splits_are_what_they_say(family: TaskFamily) -> str:
    """All that `offmap tasks verify` checks."""
    try:
        own = _splits(family)
    except Skipped as reason:  # without tasks nothing is checked: that must not look like success
        raise Failed(str(reason)) from None
    wrong = [f"{split.full_name}, {check.name}: {check.detail}"
             for split in own for check in verify(split) if not check.passed]  # fmt: skip
    require(not wrong, "; ".join(wrong))
    return f"{', '.join(split.full_name for split in own)}"


def is_gymnasiums(family: TaskFamily) -> str:
    """gymnasium's own checker accepts it."""
    from gymnasium.utils.env_checker import check_env

    from tasks.environments.gymnasium_env import TaskEnv

    _splits(family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(TaskEnv(family.name), skip_render_check=True)
    return "check_env finds nothing"


def _walk(family: TaskFamily, values: np.ndarray, seeds: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations (step + 1, row, ...), rewards (step, row) and terminations of random actions, by a seed per row."""
    environment, draws = make_batch(family, len(values)), [np.random.default_rng(seed) for seed in seeds]
    environment.set_tasks(values)
    observations = [environment.reset(np.arange(len(values)), [np.random.default_rng(seed) for seed in seeds]).copy()]
    rewards, ends, active = [], [], np.ones(len(values), bool)
    for _ in range(min(STEPS, family.horizon)):
        actions = np.array([draw.uniform(-1, 1, family.action_dim) for draw in draws], np.float32)
        result = environment.step(actions, active)
        observations.append(result.observations.copy())
        rewards.append(result.rewards.copy())
        ends.append(result.terminated.copy())
        active = active & ~result.terminated
    return np.array(observations), np.array(rewards), np.array(ends)


def rows_are_single_environments(family: TaskFamily) -> str:
    """Rows of a batch are what single environments are, bit for bit, and of the declared sizes."""
    values = np.array(_splits(family)[0].train[:3])
    seeds = list(range(len(values)))
    observations, rewards, ends = _walk(family, values, seeds)
    require(observations.shape[1:] == (len(values), family.observation_dim),
            f"observations of shape {observations.shape[1:]}, not (row, {family.observation_dim})")  # fmt: skip
    require(
        observations.dtype == np.float32 and rewards.dtype == np.float32, "observations and rewards are not float32"
    )
    require(bool(np.isfinite(observations).all() and np.isfinite(rewards).all()), "something is not finite")
    for row, seed in enumerate(seeds):
        alone = _walk(family, values[row : row + 1], [seed])
        parts = zip(alone, (observations, rewards, ends))
        require(all((one[:, 0] == many[:, row]).all() for one, many in parts), f"row {row} is not what it is alone")
    return f"{len(values)} rows over {len(rewards)} steps"


def rests_where_inactive(family: TaskFamily) -> str:
    """Rows that are not active keep their observation, and get the reward 0."""
    values = np.array(_splits(family)[0].train[:2])
    environment = make_batch(family, len(values))
    environment.set_tasks(values)
    before = environment.reset(
        np.arange(len(values)), [np.random.default_rng(row) for row in range(len(values))]
    ).copy()
    active = np.arange(len(values)) > 0
    result = environment.step(np.ones((len(values), family.action_dim), np.float32), active)
    require(bool((result.observations[0] == before[0]).all()), "an inactive row moved")
    require(float(result.rewards[0]) == 0 and not result.terminated[0], "an inactive row was rewarded, or ended")
    return "inactive rows stay as they are"


def ends_by_its_rule(family: TaskFamily) -> str:
    """Episodes end where `terminated` says of the observations, and only if the family declares that they can."""
    values = np.array(_splits(family)[0].train[:3])
    observations, _, ends = _walk(family, values, list(range(len(values))))
    ruled = np.asarray(termination_rule(family)(observations[1:]))
    still = np.cumsum(ends, axis=0) - ends == 0  # steps up to the end of the row's episode
    require(bool((ruled == ends)[still].all()), "the environment ends episodes otherwise than `terminated` says")
    require(family.terminates or not ends.any(), "episodes end, and `terminates` says that they never do")
    return "as `terminated` says"


def rewards_by_its_rule(family: TaskFamily) -> str:
    """The analytic reward of observations is the simulator's, where it is declared to be exact."""
    if family.analytic_reward is None:
        raise Skipped("it declares no analytic reward")
    if not family.analytic_reward.startswith("exact"):
        raise Skipped(f"its analytic reward is declared to differ: {family.analytic_reward}")
    rule = reward_rule(family)
    assert rule is not None
    values, draw = np.array(_splits(family)[0].train[:3]), np.random.default_rng(0)
    environment = make_batch(family, len(values))
    environment.set_tasks(values)
    before = environment.reset(
        np.arange(len(values)), [np.random.default_rng(row) for row in range(len(values))]
    ).copy()
    largest = 0.0
    for number in range(min(STEPS, family.horizon)):
        actions = draw.uniform(-1, 1, (len(values), family.action_dim)).astype(np.float32)
        result = environment.step(actions)
        if number > 0:  # of the first step the declaration may say something else
            gap = np.abs(np.asarray(rule(before, actions, result.observations)) - result.rewards).max()
            largest = max(largest, float(gap))
        before = result.observations.copy()
    require(largest < 1e-3, f"the analytic reward differs from the simulator's by {largest:.3g}")
    return f"differs by {largest:.2g} at most"


CHECKS = (
    Check("splits are what they say", splits_are_what_they_say, "a shift has to be one",
          "see `offmap tasks verify`"),
    Check("is gymnasium's", is_gymnasiums, "others train on it too", "see gymnasium's own message"),
    Check("rows are single environments", rows_are_single_environments, "tasks are simulated side by side",
          "let no row depend on another, use each row's own generator, and return float32"),
    Check("rests where inactive", rests_where_inactive, "every task gives exactly the declared transitions",
          "in `step` leave rows alone where `active` is False, with reward 0 and without an end"),
    Check("ends by its rule", ends_by_its_rule, "planners and relabeling ask the rule",
          "let `step` use `terminated`, and `terminates` say whether it can be true"),
    Check("rewards by its rule", rewards_by_its_rule, "planners plan with it",
          "let `reward_of` compute what `step` does, or let `analytic_reward` say in words how they differ"),
)  # fmt: skip
