"""Any agent or policy on a split, under the suite's protocol, outside an experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.base import Agent
from algorithms.elsewhere.loading import Policy
from algorithms.elsewhere.rows import FinetuneAdapt, PolicyAdapt, agent_of_policy
from suite.errors import UserError, nearest
from suite.experiment.messages import explain
from suite.experiment.specs import EvaluationProtocol
from suite.results.records import SCHEMA
from suite.run.metatest import Meters, Trial, run_trial
from suite.run.rollout import Meter
from tasks.registry import get_family, get_split, splits
from tasks.spec import Act, TaskSplit

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    agent_or_policy: Agent | Act,
    split: TaskSplit | str,
    protocol: EvaluationProtocol | Mapping[str, Any] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """What an agent or a policy returns on a split's tasks, a row per episode, with the columns of records.

    An agent (`load_agent`) adapts to each task, exactly as in a meta-test: `before`, `collect`, `during`, `after`. A
    policy, a function from observations (row, observation) to actions (row, action) in [-1, 1], adapts to nothing,
    unless it is an object that offers `adapt(data)` (`algorithms.elsewhere.rows.PolicyOfTask`). The columns are those
    of `docs/library.md` but for what identifies a run.

    Args:
        agent_or_policy: An agent is begun anew for each batch of tasks.
        split: A split or its name.
        protocol: A protocol, or values of its fields; by default that of experiments.
        seed: Of the episodes' noise: two that are evaluated with one seed meet the same.

    Raises:
        UserError: there is no such split or list, the agent was trained on another body, the protocol or the seed is
            none, or the actions are of another shape.
    """
    import pandas as pd

    chosen = get_split(split) if isinstance(split, str) else split
    _refuse_seed(seed)
    agent = agent_or_policy if isinstance(agent_or_policy, Agent) else _agent_of(agent_or_policy, chosen, seed)
    _refuse_other_body(agent, chosen)
    rules = _protocol(protocol)
    transitions = rules.adaptation_transitions or chosen.adaptation_transitions
    rows: list[dict[str, Any]] = []
    for trial in _trials(agent, chosen, rules, seed):
        rows += run_trial(trial, agent, rules, transitions, Meters(Meter(), Meter()))[0]
    fixed = {"family": chosen.family, "split": chosen.full_name, "split_hash": chosen.hash, "protocol_hash": rules.hash}
    columns = [name for name in SCHEMA.names if name in fixed or name in rows[0]]
    return pd.DataFrame([fixed | row for row in rows], columns=columns)


def _refuse_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(f"seed is {seed!r}; it has to be a whole number from 0 on")


def _refuse_other_body(agent: Agent, split: TaskSplit) -> None:
    if agent.trained_on is None:
        return
    here, there = (get_family(name).spaces for name in (split.family, agent.trained_on))
    numbers = [(spaces.observation_dim, spaces.action_dim) for spaces in (here, there)]
    if numbers[0] != numbers[1]:
        own = [other.full_name for other in splits() if other.family == agent.trained_on]
        raise UserError(
            f"the agent was trained on {agent.trained_on}, with {numbers[1][0]} observed numbers and {numbers[1][1]} "
            f"actions, and {split.full_name} has {numbers[0][0]} and {numbers[0][1]}; splits of its family are "
            f"{', '.join(own)}"
        )


def _agent_of(policy: Act, split: TaskSplit, seed: int) -> Agent:
    """An agent that acts by a policy, and is fine-tuned by its `adapt` if it has one."""
    config = FinetuneAdapt() if callable(getattr(policy, "adapt", None)) else PolicyAdapt()
    name = str(getattr(policy, "__name__", type(policy).__name__))
    return agent_of_policy(Policy(name, policy, get_family(split.family).spaces), config, seed)


def _trials(agent: Agent, split: TaskSplit, protocol: EvaluationProtocol, seed: int) -> Iterator[Trial]:
    """The lists of the protocol that the split has, in batches of tasks."""
    family, is_told = get_family(split.family), type(agent).reveal is not Agent.reveal
    for name in protocol.task_lists:
        if name not in ("train", "test", "test_id", *split.extra):
            raise UserError(f"protocol: {split.full_name} has no list {name!r}; {nearest(name, split.lists)}")
        tasks = split.tasks(name)[: protocol.max_tasks]
        for start in range(0, len(tasks), protocol.tasks_at_once):
            batch = tasks[start : start + protocol.tasks_at_once]
            yield Trial(family, name, batch, f"{seed:x}", revealed=is_told)


def _protocol(given: EvaluationProtocol | Mapping[str, Any] | None) -> EvaluationProtocol:
    from pydantic import ValidationError

    if isinstance(given, EvaluationProtocol):
        return given
    try:
        return EvaluationProtocol.model_validate(dict(given or {}))
    except ValidationError as error:
        raise UserError(explain(error, "protocol", EvaluationProtocol)) from None
