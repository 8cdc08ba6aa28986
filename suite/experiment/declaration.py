"""Experiments as they are declared: a grid of splits, algorithms, hyper-parameter axes and seeds, from YAML.

Reading a declaration imports no torch and no simulator; what it stands for is worked out in `expansion`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, NonNegativeInt, ValidationError, field_validator

from suite.errors import UserError
from suite.experiment.budgets import AnyBudget
from suite.experiment.executor import ExecutorSpec
from suite.experiment.messages import explain
from suite.experiment.overrides import as_choice, parse_yaml, put
from suite.experiment.specs import EvaluationProtocol
from tasks.spec import Frozen
from tasks.split_declaration import SplitDeclaration


class Choice(Frozen):
    """One algorithm of an experiment, with what differs from its defaults."""

    name: str
    label: str | None = Field(default=None, description="how it is called in results; None: its name")
    preset: str | None = Field(default=None, description="a preset of configs/algorithms on top of the default one")
    train: dict[str, Any] = Field(default_factory=dict)
    adapt: dict[str, Any] = Field(default_factory=dict)

    @property
    def variant(self) -> str:
        """The label, or the name."""
        return self.label or self.name


class Experiment(Frozen):
    """A declared grid: splits x algorithms x axes x seeds, with a budget and a protocol."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="also the name of the results folder")
    description: str = ""
    splits: tuple[str, ...] = Field(min_length=1, description="`family.split` names, own splits included")
    own_splits: tuple[SplitDeclaration, ...] = Field(default=(), description="further splits of existing families")
    algorithms: tuple[Annotated[Choice, BeforeValidator(as_choice)], ...] = Field(min_length=1)
    axes: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict,
        description="hyper-parameter grid: `label.train.field` or `label.adapt.field` -> values to try",
    )
    seeds: tuple[NonNegativeInt, ...] = Field(
        default=(0,), min_length=1, description="of the meta-trainings; references run once, with the first of them"
    )
    budget: AnyBudget = Field(
        description="env_steps and milestones, or a word: `native`, `matched` or `smoke` (docs/protocol.md)"
    )
    protocol: EvaluationProtocol = EvaluationProtocol()
    native_protocol: bool = Field(
        default=False,
        description="test each algorithm as its authors did (`native` in configs/algorithms): another table",
    )
    milestone_protocol: EvaluationProtocol = Field(
        default=EvaluationProtocol(max_tasks=10, max_updates=2000), description="how checkpoints on the way are tested"
    )
    device: str = Field(
        default="cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="`cpu`, `cuda` or `cuda:N`; `precision: auto` asks it",
    )
    checkpoint_seconds: float = Field(
        default=300.0, gt=0, allow_inf_nan=False, description="least time between checkpoints"
    )
    executor: ExecutorSpec = Field(
        default=ExecutorSpec(), description="where and how the runs are carried out: changes no result"
    )
    tensorboard: bool = Field(
        default=False, description="also write TensorBoard event files while training; needs offmap[tensorboard]"
    )

    @field_validator("seeds", "splits")
    @classmethod
    def _no_repetition(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"{list(values)} names something twice")
        return values

    @field_validator("protocol", "milestone_protocol")
    @classmethod
    def _no_name(cls, protocol: EvaluationProtocol) -> EvaluationProtocol:
        if protocol.name is not None:
            raise ValueError("a protocol is not named by hand; for the native ones write native_protocol: true")
        return protocol

    @field_validator("axes")
    @classmethod
    def _no_empty_axis(cls, axes: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        empty = [key for key, values in axes.items() if not values]
        if empty:
            raise ValueError(f"{', '.join(empty)} has no values, so nothing would run")
        return axes


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in a YAML file, with `a.b=c` overrides put in before it is validated.

    Raises:
        UserError: no such file, not YAML, or not a valid experiment; the message names the place and the remedy.
    """
    try:
        document = parse_yaml(path.read_text())
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [found.name for found in path.parent.glob("*.yaml")], n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else "; ready ones are in configs/experiments"
        raise UserError(f"there is no experiment file {path}{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: an experiment is a mapping of keys such as name, splits, algorithms and budget")
    for override in overrides:
        put(document, override)
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        raise UserError(explain(error, str(path), Experiment)) from None
