"""What is done, as frozen data with an identity: a meta-training, a meta-test of one, and the protocol of tests."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from tasks.frozen import Frozen
from tasks.spec import TaskSplit, fingerprint

SCHEMA_VERSION = 1

MOST_STEPS = 10**12  # of a budget: more than any record or counter holds

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Of a meta-training: what a generator takes and a record holds."""

Count = Annotated[int, Field(ge=1, le=10**9)]
"""How many of something: no more than a record holds."""


class TrainingSpec(Frozen):
    """One meta-training, resolved. The budget is no part of it, so that it can be extended."""

    schema_version: int = SCHEMA_VERSION
    algorithm: str = Field(description="name of the meta-training, shared by mier and mier-wr")
    family: str
    family_version: int
    train_tasks: tuple[tuple[float, ...], ...] = Field(
        description="(task, parameter): the split's train list; an oracle's are the test tasks, and what trains on "
        "nothing has none"
    )
    config: dict[str, Any] = Field(description="the algorithm's train block, every value, precision resolved")
    seed: Seed

    @cached_property
    def hash(self) -> str:
        """Identity of the training: 12 hexadecimal digits."""
        return fingerprint(self.model_dump(mode="json"))


class EvaluationProtocol(Frozen):
    """How agents are tested, the same for every algorithm. The result is the value after the last update."""

    name: Literal["native"] | None = Field(
        default=None,
        exclude_if=lambda name: name is None,  # so that the identities of unnamed protocols are what they always were
        description="`native`: as the algorithm's authors tested it; set by `native_protocol: true` alone",
    )
    adaptation_transitions: Count | None = Field(
        default=None, description="collected by the suite in each test task, exactly; None: what the split declares"
    )
    evaluation_episodes: Count = Field(default=3, description="deterministic episodes per task and evaluation")
    evaluate_every: Count = Field(default=2000, description="adaptation updates between two evaluations")
    max_updates: NonNegativeInt | None = Field(
        default=None, le=10**9, description="cap on adaptation updates; None: what the algorithm declares"
    )
    task_lists: tuple[str, ...] = Field(
        default=("test", "test_id"), min_length=1, description="lists of the split that are tested"
    )
    max_tasks: Count | None = Field(default=None, description="only the first so many tasks of each list")
    tasks_at_once: Count = Field(
        default=10, description="test tasks adapted side by side: more is faster and takes more memory"
    )

    @field_validator("task_lists")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"{list(names)} names a list twice")
        return names

    @cached_property
    def hash(self) -> str:
        """Identity of the protocol."""
        return fingerprint(self.model_dump(mode="json"))


class MetatestSpec(Frozen):
    """One meta-test of one checkpoint of a training: a run, a cell of the experiment's grid."""

    schema_version: int = SCHEMA_VERSION
    training: str = Field(description="hash of the training")
    env_steps: NonNegativeInt = Field(description="budget of the checkpoint that is tested; 0: nothing to train")
    is_final: bool = Field(description="whether that is the whole budget")
    algorithm: str = Field(description="registered name")
    split: TaskSplit
    protocol: EvaluationProtocol
    config: dict[str, Any] = Field(description="the algorithm's adapt block, every value")

    @cached_property
    def hash(self) -> str:
        """Identity of the run; the split counts by its own hash and whether it is final does not count."""
        data = self.model_dump(mode="json", exclude={"split", "is_final"})
        return fingerprint(data | {"split": self.split.hash})


class Execution(Frozen):
    """How a training is carried out: changes no result."""

    env_steps: NonNegativeInt = Field(description="budget: no outer iteration that would overshoot it is started")
    milestones: tuple[PositiveInt, ...] = Field(
        default=(), description="env steps whose checkpoints are kept for tests"
    )
    device: str = "cpu"
    checkpoint_seconds: float = Field(default=300.0, gt=0, description="least time between checkpoints")
    tensorboard: bool = Field(default=False, description="also write TensorBoard event files while training")
    plugins: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda plugins: not plugins,
        description="modules, and copies of files below the results folder, that algorithms and family are from",
    )
