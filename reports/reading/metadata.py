"""The metadata of records files and experiments, which may be those of others: checked, and made printable."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from suite.results.records import RecordsError

LONGEST = 200
"""Letters of a label; what is longer is cut."""

DEEPEST = 60
"""Levels of nesting of a document; ours have a handful."""

MOST_TASKS, MOST_LISTS = 10_000, 100
"""Tasks in a list, as in an experiment's own splits, and lists (or parameters) of a split."""

TaskValues = Annotated[list[FiniteFloat | int], Field(max_length=MOST_TASKS)]


def _bounded(value: Any) -> Any:
    """The recorded tasks or parameters of a split, by list: of any shape, but no longer than a split may be."""
    parts = list(value.values()) if isinstance(value, dict) else value
    if isinstance(parts, list):
        longest = max((len(part) for part in parts if isinstance(part, list)), default=0)
        if len(parts) > MOST_LISTS or longest > MOST_TASKS:
            raise ValueError(f"more than {MOST_LISTS} lists, or more than {MOST_TASKS:,} tasks in one")
    return value


Bounded = Annotated[Any, AfterValidator(_bounded)]


class Part(BaseModel):
    """A part of a document: what is named has to be of its kind; keys may be absent, and others may be there."""

    model_config = ConfigDict(extra="allow", strict=True)


class References(Part):
    """Ends of a split's scale."""

    null: FiniteFloat | int | None = None
    ceiling: FiniteFloat | int | None = None
    source: str | None = None


class Split(Part):
    """The definition of a split, as far as a report shows it."""

    shift: str | None = None
    description: str | None = None
    drawn: str | None = None
    axis: str | None = None
    axis_unit: str | None = None
    train_axis_values: TaskValues | None = None
    test_lists: Annotated[dict[str, TaskValues | int], Field(max_length=MOST_LISTS)] | None = None
    tasks: Bounded = None
    parameters: Bounded = None
    references: References | None = None
    role: str | None = None
    tunes: list[str] | None = None
    remarks: list[str] | None = None


class Provenance(Part):
    """Where and how a run was made."""

    git_revision: str | None = None
    git_dirty: bool | None = None
    versions: dict[str, str | None] | None = None


class Gain(Part):
    """What a run's gain from adaptation is measured against."""

    before: dict[str, str] | None = None
    twin: str | None = None
    is_twin: bool | None = None


class Document(Part):
    """The metadata of a records file, as far as a report reads it."""

    split: Split | None = None
    protocol: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    gain: Gain | None = None
    values: str | None = None
    cost: dict[str, FiniteFloat | int | None] | None = None
    budget_env_steps: int | None = None
    env_steps: int | None = None
    provenance: Provenance | None = None


class Shown(Part):
    """What an experiment wants to be shown of it, in this order."""

    variants: list[str] = []
    splits: list[str] = []


class Experiment(Part):
    """A resolved experiment, as far as a reader needs it to run it again; its name is part of a command."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST)
    splits: list[str] = Field(min_length=1)
    algorithms: list[str | dict[str, Any]] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    budget: str | dict[str, Any]
    against: str | None = None
    axes: dict[str, list[Any]] | None = None
    report: Shown | None = None


class ExperimentFile(Part):
    """What an `experiment.json` holds."""

    experiment: Experiment


def checked_experiment(document: Any) -> dict[str, Any]:
    """The experiment in an `experiment.json`, with printable texts.

    Raises:
        RecordsError: it is none that could be run.
    """
    shown = _printable(document)
    _validate(ExperimentFile, document, "an experiment")
    experiment: dict[str, Any] = shown["experiment"]
    return experiment


def checked(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata with printable texts.

    Raises:
        RecordsError: a part of it is of another kind than reports are made of.
    """
    document: dict[str, Any] = _printable(metadata)
    _validate(Document, metadata, "a run")
    return document


def _validate(kind: type[Part], document: Any, of_what: str) -> None:
    try:
        kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RecordsError(f"its metadata is not that of {of_what}: {printable(place)}: {first['msg']}") from error


def _printable(value: Any, levels: int = DEEPEST) -> Any:
    """A document with printable texts.

    Raises:
        RecordsError: it is nested deeper than so many levels.
    """
    if isinstance(value, str):
        return printable(value, None)
    if not isinstance(value, list | dict):
        return value
    if levels == 0:
        raise RecordsError(f"its metadata is nested deeper than {DEEPEST} levels")
    if isinstance(value, list):
        return [_printable(item, levels - 1) for item in value]
    return {printable(key): _printable(item, levels - 1) for key, item in value.items()}


def printable(text: str, longest: int | None = LONGEST) -> str:
    """Text that moves no cursor, turns no writing direction and breaks no line; cut where it is too long."""
    if text.isprintable() and (longest is None or len(text) <= longest):
        return text  # as nearly all are
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"
