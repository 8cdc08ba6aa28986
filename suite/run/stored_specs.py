"""What a training folder says is to be done, read back. Files of another version of offmap, or changed since, are said.

A hash tells that a file is as it was written; only these models tell whether this version can still carry it out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from algorithms.base import TrainConfig
from algorithms.registry import get_algorithm, training_entry
from suite.errors import UserError
from suite.experiment.messages import explain
from suite.experiment.presets import validated
from suite.experiment.specs import Execution, MetatestSpec, TrainingSpec
from suite.results.json_files import NOT_THERE, read_finite
from suite.results.layout import metatest_folders, refuse_other_hash
from suite.results.shapes import LABEL, read_shaped
from suite.results.shapes import REMEDY as WRITTEN_ANEW

Spec = TypeVar("Spec", bound=BaseModel)

REMEDY = (
    "It was made by another version of offmap, or changed since: give the `offmap run` command again, which sets what "
    "it no longer asks for aside and prepares it as this version carries it out, or use the version that made it"
)


def read_execution(folder: Path) -> Execution:
    """How the training in a folder is carried out.

    Raises:
        UserError: the file is damaged, or this version does not know what it asks for. So for the two below.
    """
    return _read(folder / "execution.json", Execution)


def read_training_spec(folder: Path) -> TrainingSpec:
    """The specification of a training folder."""
    return _read(folder / "config.json", TrainingSpec)


def read_metatest_spec(below: Path) -> MetatestSpec:
    """The specification of a meta-test's folder."""
    return _read(below / "config.json", MetatestSpec)


def train_config(folder: Path, spec: TrainingSpec) -> TrainConfig:
    """The train block of a training that was read from a folder.

    Raises:
        UserError: this version has no such algorithm, or its block has other fields or values.
    """
    config: TrainConfig = _config(training_entry(spec.algorithm).load("train"), spec, folder / "config.json")
    return config


class PendingMetatest(NamedTuple):
    """A meta-test without records: its folder, what it is, what to call it, and where its values are from."""

    folder: Path
    spec: MetatestSpec
    variant: str
    values: str


def pending_metatests(folder: Path) -> list[PendingMetatest]:
    """The meta-tests of a training folder that have no records yet, in order.

    Raises:
        UserError: one of them cannot be carried out: better said before the training than after it.
    """
    left = []
    for below in _whole(folder, metatest_folders):
        if not (below / "records.parquet").exists():
            spec = read_metatest_spec(below)
            refuse_other_hash(below, spec.hash)
            _config(get_algorithm(spec.algorithm).load("adapt"), spec, below / "config.json")
            label = _whole(below / "label.json", lambda path: read_shaped(path, LABEL))
            left.append(PendingMetatest(below, spec, label["variant"], label.get("values") or ""))
    return left


def _read(path: Path, model: type[Spec]) -> Spec:
    """The document in a file as a model.

    Raises:
        UserError: it is damaged, or does not fit the model.
    """
    document = _whole(path, read_finite)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{_one_line(explain(error, str(path), model))}. {REMEDY}") from None


def _whole(path: Path, read: Callable[[Path], Any]) -> Any:
    """What is read of a file, or of the files of a folder, that have to be there.

    Raises:
        OSError: the disk does not answer.
        UserError: one is not there, or damaged.
    """
    try:
        return read(path)
    except OSError as error:
        if error.errno not in NOT_THERE:
            raise
        raise UserError(f"{error.filename or path} cannot be read: {error.strerror}; {WRITTEN_ANEW}") from None


def _config(model: type[BaseModel], spec: TrainingSpec | MetatestSpec, path: Path) -> Any:
    """The block of an algorithm's configuration that stands in a file.

    Raises:
        UserError: this version has other fields or values.
    """
    try:
        return validated(model, spec.config, f"{path}: config")
    except UserError as error:
        raise UserError(f"{_one_line(str(error))}. {REMEDY}") from None


def _one_line(text: str) -> str:
    """What several lines say, as one: a status has room for a sentence."""
    return "; ".join(text.splitlines())
