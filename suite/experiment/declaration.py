"""Experiments as they are declared: a grid of splits, algorithms, hyper-parameter axes and seeds, from YAML.

Reading a declaration imports no torch and no simulator; what it stands for is worked out in `expansion`.
"""

from __future__ import annotations

import difflib
import errno
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator

from suite.errors import UserError, shortened
from suite.experiment.budgets import AnyBudget
from suite.experiment.executor import ExecutorSpec
from suite.experiment.messages import explain
from suite.experiment.overrides import as_choice, put
from suite.experiment.plugins import use_plugins
from suite.experiment.shipped import ready_experiments
from suite.experiment.shown import ALL, ReportSpec
from suite.experiment.specs import EvaluationProtocol, Seed
from suite.experiment.yaml_text import MOST_BYTES, parse_yaml
from tasks.frozen import Frozen
from tasks.split_declaration import SplitDeclaration

Device = Annotated[
    str,
    Field(pattern=r"^(cpu|cuda(:\d{1,3})?)$", description="`cpu`, `cuda` or `cuda:N`; `precision: auto` asks it"),
]
"""What trainings and meta-tests compute on."""


class Choice(Frozen):
    """One algorithm of an experiment, with what differs from its defaults."""

    name: str = Field(max_length=100)
    label: str | None = Field(
        default=None, min_length=1, max_length=100, description="how it is called in results; None: its name"
    )
    preset: str | None = Field(default=None, description="a preset of configs/algorithms on top of the default one")
    train: dict[str, Any] = Field(default_factory=dict)
    adapt: dict[str, Any] = Field(default_factory=dict)
    twin: bool = Field(
        default=False,
        description="also test its unadapted twin: the same training with an agent that learns nothing in a trial, so "
        "that what adapting gained can be read",
    )
    budget: AnyBudget | None = Field(
        default=None,
        exclude_if=lambda budget: budget is None,
        description="its own, in place of the experiment's",
    )

    @field_validator("label")
    @classmethod
    def _printable(cls, label: str | None) -> str | None:
        if label is not None and not label.isprintable():
            raise ValueError("a label is letters that can be printed on one line")
        return label

    @property
    def variant(self) -> str:
        """The label, or the name."""
        return self.label or self.name


class Experiment(Frozen):
    """A declared grid: splits x algorithms x axes x seeds, with a budget and a protocol."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="also the name of the results folder"
    )
    description: str = Field(default="", max_length=10_000)
    splits: tuple[str, ...] = Field(min_length=1, description="`family.split` names, own splits included")
    own_splits: tuple[SplitDeclaration, ...] = Field(default=(), description="further splits of existing families")
    algorithms: tuple[Annotated[Choice, BeforeValidator(as_choice)], ...] = Field(min_length=1)
    plugins: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda plugins: not plugins,
        description="algorithms and families of your own: modules (`my_lab.varibad`) or files (`./mine.py`, from where "
        "this file is)",
    )
    axes: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict,
        description="hyper-parameter grid: `label.train.field` or `label.adapt.field` -> values to try",
    )
    seeds: tuple[Seed, ...] = Field(
        default=(0,),
        min_length=1,
        max_length=10_000,
        description="of the meta-trainings; references run once, with the first of them",
    )
    budget: AnyBudget = Field(
        description="env_steps and milestones, or a word: `native`, `matched`, `lite`, `lite-compute`, `smoke` "
        "(docs/protocol.md)"
    )
    protocol: EvaluationProtocol = EvaluationProtocol()
    native_protocol: bool = Field(
        default=False,
        description="test each algorithm as its authors did (`native` in configs/algorithms): another table",
    )
    milestone_protocol: EvaluationProtocol = Field(
        default=EvaluationProtocol(max_tasks=10, max_updates=2000), description="how checkpoints on the way are tested"
    )
    device: Device = "cpu"
    checkpoint_seconds: float = Field(
        default=300.0, gt=0, le=1e9, allow_inf_nan=False, description="least time between checkpoints"
    )
    executor: ExecutorSpec = Field(
        default=ExecutorSpec(), description="where and how the runs are carried out: changes no result"
    )
    against: str | None = Field(
        default=None,
        max_length=100,
        exclude_if=lambda name: name is None,
        description="a shipped table (`offmap reference list`) whose rows a report puts beside these results",
    )
    report: ReportSpec = Field(
        default=ALL,
        exclude_if=lambda report: report == ALL,
        description="which variants and splits `offmap report` shows, in which order; its options stand above this",
    )
    tensorboard: bool = Field(
        default=False, description="also write TensorBoard event files while training; needs offmap[tensorboard]"
    )

    @field_validator("seeds", "splits")
    @classmethod
    def _no_repetition(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"{shortened(list(values))} names something twice")
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


def _text_of(path: Path) -> str:
    """What an experiment's file holds, which is read only if it is an ordinary file of a bearable size.

    Raises:
        OSError: it is not, or cannot be read.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    if about.st_size > 4 * MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has {about.st_size:,} bytes, which is no experiment", str(path))
    return path.read_text(encoding="utf-8")


Declared = TypeVar("Declared", bound=Frozen)


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in a YAML file, with `a.b=c` overrides put in before it is validated.

    A path that is no file may be the name of a shipped experiment, such as `demo` (`shipped.ready_experiments`).

    Raises:
        UserError: no such file, not YAML, or not a valid experiment; the message names the place and the remedy.
    """
    document = _document_of(path)
    if "rungs" in document:
        raise UserError(f"{path} declares a search for values, not an experiment: run it with `offmap tune {path}`")
    return checked_experiment(document, str(path), overrides, path.parent)


def load_declared(path: Path, model: type[Declared], overrides: Sequence[str] = ()) -> Declared:
    """What a YAML file declares, as `load_experiment` reads one.

    Raises:
        UserError: as there.
    """
    return _checked(_document_of(path), model, str(path), overrides)


def _document_of(path: Path) -> dict[str, Any]:
    """What a YAML file, or a shipped experiment of that name, holds.

    Raises:
        UserError: no such file, or not YAML.
    """
    ready = ready_experiments()
    try:
        document = parse_yaml(
            _text_of(path) if str(path) not in ready or path.is_file() else _text_of(ready[str(path)])
        )
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [found.name for found in path.parent.glob("*.yaml")], n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else f"ready ones, by name: {', '.join(ready)}"
        raise UserError(f"there is no experiment file {path}; {hint}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{shortened(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: an experiment is a mapping of keys such as name, splits, algorithms and budget")
    return document


def checked_experiment(
    document: dict[str, Any], where: str, overrides: Sequence[str] = (), base: Path = Path()
) -> Experiment:
    """The experiment that a document declares, with `a.b=c` overrides put in before it is validated.

    Its plugins are in use from then on; those that are files are looked for from the folder `base`.

    Raises:
        UserError: it is not a valid experiment; `where` says in the message what it is of.
    """
    experiment = _checked(document, Experiment, where, overrides)
    use_plugins(experiment.plugins, base)
    return experiment


def _checked(document: dict[str, Any], model: type[Declared], where: str, overrides: Sequence[str]) -> Declared:
    for override in overrides:
        put(document, override)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise UserError(explain(error, where, model)) from None
