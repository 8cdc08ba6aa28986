"""Searches as they are declared, and the configurations that each stands for.

A search compares a number of configurations of each algorithm on tuning splits by successive halving (Jamieson and
Talwalkar, 2016): all of them on the first rung's budget, the better ones on the next. A rung extends the trainings of
the one before, since the budget is no part of a training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from suite.errors import shortened
from suite.experiment.budgets import Budget
from suite.experiment.declaration import Choice, Device, Experiment, load_declared
from suite.experiment.executor import ExecutorSpec
from suite.experiment.overrides import as_choice
from suite.experiment.specs import MOST_STEPS, EvaluationProtocol, Seed
from tasks.frozen import Frozen
from tasks.split_declaration import SplitDeclaration

FIRST_SEED = 100
"""Of the seeds that searches use; those that tables use are below."""

TASK_BLIND = "domain-randomised"
"""The row whose return in distribution a configuration has to beat: what can be reached without knowing the task."""

PUBLISHED = 0
"""The number of the configuration whose searched values are the published ones, which every search has."""

Number = int | float


class Blocks(Frozen):
    """A configuration: values of the searched knobs; those that it does not name keep the published ones."""

    train: dict[str, Any] = Field(default_factory=dict)
    adapt: dict[str, Any] = Field(default_factory=dict)


class SearchedAlgorithm(Choice):
    """An algorithm of a search: what all its configurations share, and the space of those."""

    twin: Literal[False] = Field(default=False, description="a search compares no twins")
    budget: None = Field(default=None, description="the rungs are every algorithm's budget")
    configurations: tuple[Blocks, ...] = Field(default=(), description="configurations that are tried as they stand")
    ranges: dict[str, tuple[Number, Number]] = Field(
        default_factory=dict,
        description="`train.field` or `adapt.field` -> least and largest value: the configurations that are left are "
        "drawn log-uniformly from these, whole numbers where both ends are",
    )

    @field_validator("ranges")
    @classmethod
    def _are_ranges(cls, ranges: dict[str, tuple[Number, Number]]) -> dict[str, tuple[Number, Number]]:
        for key, (low, high) in ranges.items():
            block, _, field = key.partition(".")
            if block not in ("train", "adapt") or not field or "." in field:
                raise ValueError(f"{key} is no knob; write train.field or adapt.field")
            if not 0 < low < high:
                raise ValueError(f"{key}: a range goes from a number above 0 to a larger one, not from {low} to {high}")
        return ranges

    @property
    def knobs(self) -> tuple[str, ...]:
        """What is searched, `train.field` or `adapt.field` each, in the order declared."""
        listed = [f"{name}.{field}" for blocks in self.configurations for name, block in blocks for field in block]
        return tuple(dict.fromkeys([*listed, *self.ranges]))


class Rung(Frozen):
    """One step of the ladder: how long every configuration on it is trained, and how many go on."""

    env_steps: PositiveInt = Field(le=MOST_STEPS, description="of each training, initial exploration included")
    keep: PositiveInt = Field(default=1, description="configurations of each algorithm that go on; of the last: one")


class Search(Frozen):
    """A declared search. The effort is one for all its algorithms: configurations, rungs, splits, seeds, protocol."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="also that of its results and its record"
    )
    description: str = Field(default="", max_length=10_000)
    splits: tuple[str, ...] = Field(min_length=1, description="`family.split` names of tuning splits")
    own_splits: tuple[SplitDeclaration, ...] = Field(default=(), description="further splits, such as tuning splits")
    algorithms: tuple[Annotated[SearchedAlgorithm, BeforeValidator(as_choice)], ...] = Field(min_length=1)
    configurations: int = Field(
        ge=2, le=100, description="of each algorithm: the published one, those listed, and as many drawn as are left"
    )
    draw_seed: Seed = Field(default=0, description="of the generators that draw from ranges")
    rungs: tuple[Rung, ...] = Field(min_length=1, max_length=20)
    seeds: tuple[Seed, ...] = Field(min_length=1, max_length=100, description=f"from {FIRST_SEED} on")
    rule: Literal["shifted mean rank"] = Field(
        default="shifted mean rank", description="how the winner is chosen (suite/tuning/selection.py)"
    )
    task_blind: Annotated[Choice, BeforeValidator(as_choice)] = Field(
        default=Choice(name=TASK_BLIND),
        description="the row whose return in distribution a configuration has to beat on every split: at as many env "
        "steps, or with a `budget` at the end of that",
    )
    core_minutes: PositiveFloat | None = Field(
        default=None, description="what each algorithm's search may take; the record says what it took"
    )
    protocol: EvaluationProtocol = EvaluationProtocol()
    device: Device = "cpu"
    checkpoint_seconds: float = Field(default=300.0, gt=0, le=1e9, allow_inf_nan=False)
    executor: ExecutorSpec = ExecutorSpec()

    @field_validator("seeds")
    @classmethod
    def _of_no_table(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        low = [seed for seed in seeds if seed < FIRST_SEED]
        if low:
            raise ValueError(
                f"{', '.join(map(str, low))} may be of a table, which would then show runs that its values were chosen "
                f"by; take seeds from {FIRST_SEED} on"
            )
        return seeds

    @field_validator("task_blind")
    @classmethod
    def _is_blind(cls, row: Choice) -> Choice:
        if row.name != TASK_BLIND:
            raise ValueError(f"{row.name} is not blind to tasks; the row is {TASK_BLIND}, with a preset or values")
        return row

    @field_validator("protocol")
    @classmethod
    def _has_both_lists(cls, protocol: EvaluationProtocol) -> EvaluationProtocol:
        if not {"test", "test_id"} <= set(protocol.task_lists):
            raise ValueError("the rule compares returns on test, and asks for those on test_id; test both")
        return protocol

    @model_validator(mode="after")
    def _is_a_ladder(self) -> Search:
        for before, after in zip(self.rungs, self.rungs[1:]):
            if after.env_steps <= before.env_steps:
                raise ValueError(f"rungs: {after.env_steps} env steps are no more than the {before.env_steps} before")
        kept = [self.configurations, *(rung.keep for rung in self.rungs)]
        for tried, left in zip(kept, kept[1:]):
            if left >= tried:
                raise ValueError(f"rungs: of {tried} configurations a rung keeps fewer, not {left}")
        if kept[-1] != 1:
            raise ValueError(f"rungs: the last one keeps the winner alone, not {kept[-1]}; leave its `keep` out")
        return self

    @model_validator(mode="after")
    def _as_many_for_each(self) -> Search:
        labels = [searched.variant for searched in self.algorithms]
        if len(set(labels)) < len(labels):
            raise ValueError(f"algorithms: {shortened(labels)} names something twice; give one another label")
        for searched in self.algorithms:
            given = 1 + len(searched.configurations)
            if given > self.configurations or (given < self.configurations and not searched.ranges):
                missing = "leave some out" if given > self.configurations else "list more, or give it `ranges`"
                raise ValueError(
                    f"algorithms: {searched.variant} has {given} configurations (the published one and those listed), "
                    f"and each is to have {self.configurations}: {missing}"
                )
            if TASK_BLIND in (searched.name, searched.variant):
                raise ValueError(f"algorithms: {TASK_BLIND} is the row that the others are judged by; leave it out")
        return self


class Candidate(NamedTuple):
    """A configuration of an algorithm: its number, the values of its knobs, and the variant that stands for it."""

    algorithm: str  # label of the searched algorithm
    number: int
    blocks: Blocks
    choice: Choice


def load_search(path: Path, overrides: Sequence[str] = ()) -> Search:
    """The search in a YAML file, with `a.b=c` overrides put in before it is validated.

    Raises:
        UserError: no such file, not YAML, or not a valid search.
    """
    return load_declared(path, Search, overrides)


def candidates(search: Search) -> dict[str, list[Candidate]]:
    """The configurations of every algorithm, by its label, numbered from 0, the published one."""
    return {searched.variant: list(_candidates(search, searched)) for searched in search.algorithms}


def _candidates(search: Search, searched: SearchedAlgorithm) -> Iterator[Candidate]:
    listed = [Blocks(), *searched.configurations]
    drawn = (_drawn(search, searched, number) for number in range(len(listed), search.configurations))
    shared = searched.model_dump(include={"name", "preset", "train", "adapt"})
    for number, blocks in enumerate([*listed, *drawn]):
        own = {name: shared[name] | getattr(blocks, name) for name in ("train", "adapt")}
        label = f"{searched.variant} #{number}"
        yield Candidate(searched.variant, number, blocks, Choice(**shared | own | {"label": label}))


def _drawn(search: Search, searched: SearchedAlgorithm, number: int) -> Blocks:
    """A configuration drawn from the ranges: the same whatever else is declared, three digits of each number."""
    blocks: dict[str, dict[str, Number]] = {"train": {}, "adapt": {}}
    for key, (low, high) in searched.ranges.items():
        generator = np.random.default_rng([search.draw_seed, number, *f"{searched.variant} {key}".encode()])
        value = float(np.exp(generator.uniform(np.log(low), np.log(high))))
        block, _, field = key.partition(".")
        is_whole = isinstance(low, int) and isinstance(high, int)
        blocks[block][field] = round(value) if is_whole else float(f"{value:.3g}")
    return Blocks(**blocks)


def experiment_of(search: Search, last_rung: Mapping[str, int]) -> Experiment:
    """The experiment that takes every configuration as far as it is to go, and the task-blind row with the furthest.

    Args:
        search: The search.
        last_rung: The number of the last rung of each variant, by the label of its candidate.
    """
    choices = [candidate.choice for listed in candidates(search).values() for candidate in listed]
    budgets = [_budget(search, last_rung[choice.variant]) for choice in choices]
    most = _budget(search, max(last_rung.values()))
    return Experiment(
        algorithms=(search.task_blind, *(c.model_copy(update={"budget": b}) for c, b in zip(choices, budgets))),
        budget=most, milestone_protocol=search.protocol, name=search.name, description=search.description,
        splits=search.splits, own_splits=search.own_splits, seeds=search.seeds, protocol=search.protocol,
        device=search.device, checkpoint_seconds=search.checkpoint_seconds, executor=search.executor,
    )  # fmt: skip


def furthest(search: Search) -> dict[str, int]:
    """The number of the last rung for every configuration, by the label of its candidate."""
    listed = (candidate for of_algorithm in candidates(search).values() for candidate in of_algorithm)
    return {candidate.choice.variant: len(search.rungs) - 1 for candidate in listed}


def _budget(search: Search, rung: int) -> Budget:
    """All env steps up to a rung; those of the rungs before are tested on the way."""
    *before, last = [step.env_steps for step in search.rungs[: rung + 1]]
    return Budget(env_steps=last, milestones=tuple(before))
