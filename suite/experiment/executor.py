"""How runs are carried out, as data: the `executor:` block of an experiment. It changes no result and no identity."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    field_serializer,
    model_validator,
)

from suite.errors import UserError, nearest
from suite.experiment.messages import explain
from tasks.frozen import Frozen

Kind = Literal["local", "slurm", "inline"]

_TIME = re.compile(r"(?:(?P<days>\d{1,4})-)?(?P<hours>\d{1,6}):(?P<minutes>[0-5]?\d):(?P<seconds>[0-5]?\d)")
_MEMORY = re.compile(r"(?P<number>\d{1,9}(\.\d{1,9})?) ?(?P<unit>[MGT])i?B?", re.IGNORECASE)
_MEGABYTES = {"M": 1, "G": 1024, "T": 1024**2}


def minutes_of(value: Any) -> Any:
    """Whole minutes of a time limit, rounded up: of `HH:MM:SS`, of `D-HH:MM:SS`, or of minutes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a time limit is HH:MM:SS, D-HH:MM:SS or a whole number of minutes")
    days, hours, minutes, seconds = (int(match[name] or 0) for name in ("days", "hours", "minutes", "seconds"))
    return (days * 24 + hours) * 60 + minutes + (seconds > 0)


def megabytes_of(memory: Any) -> int:
    """Whole megabytes of an amount of memory, rounded up.

    Raises:
        ValueError: it is not a number with its unit.
    """
    match = _MEMORY.fullmatch(memory.strip()) if isinstance(memory, str) else None
    if match is None:
        raise ValueError("memory is a number with its unit, such as 500MB or 4GB")
    return math.ceil(float(match["number"]) * _MEGABYTES[match["unit"].upper()])


MOST = 10**7
"""Of anything that is asked for: minutes, seconds, cores, runs."""

Minutes = Annotated[PositiveInt, Field(le=MOST), BeforeValidator(minutes_of)]
Memory = Annotated[str, BeforeValidator(lambda value: f"{megabytes_of(value)}MB")]


class Request(Frozen):
    """What one run asks of a cluster. Runs that ask for the same are submitted together."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = Field(default=None, description="features that the nodes must have")
    exclude: str | None = Field(default=None, description="nodes that must not be used")
    time: Minutes = Field(
        default=24 * 60, description="time limit: HH:MM:SS, D-HH:MM:SS or minutes; a run that needs more is requeued"
    )
    memory: Memory = Field(default="4096MB", description="of one run, with its unit, such as 4GB")
    cpus: PositiveInt = Field(default=1, le=MOST, description="processor cores of one run, which has one thread")
    gpus: NonNegativeInt = Field(default=0, le=MOST, description="of a job, shared by the runs that are packed into it")


class ExecutorSpec(Request):
    """The `executor:` block: where runs are carried out, and what they ask for where that is a cluster."""

    kind: Kind = Field(
        default="local", description="`local`: processes on this machine; `slurm`; `inline`: in this process"
    )
    workers: PositiveInt | None = Field(default=None, le=MOST, description="local: runs at once; None: one per core")
    array_parallelism: PositiveInt = Field(default=256, le=MOST, description="most jobs that run at once")
    runs_per_job: PositiveInt = Field(default=1, le=MOST, description="runs packed into one job, side by side")
    canary: bool = Field(default=False, description="submit one run first; the others begin if it succeeds")
    setup: tuple[str, ...] = Field(default=(), description="shell lines before a job's work, such as `module load`")
    signal_seconds: PositiveInt = Field(
        default=120,
        le=MOST,
        description="how long before its time limit a job is asked to checkpoint: longer than an outer iteration",
    )
    code: Literal["snapshot", "clean"] = Field(
        default="snapshot",
        description="`snapshot`: jobs run a copy of the code as it was submitted; `clean`: the code itself, and "
        "uncommitted changes are refused",
    )
    variants: dict[str, Request] = Field(
        default_factory=dict, description="what single algorithms of the experiment ask for instead, by label or name"
    )

    @model_validator(mode="after")
    def _has_time_to_work(self) -> ExecutorSpec:
        shortest = min([self.time, *(request.time for request in self.variants.values())])
        if self.signal_seconds >= 60 * shortest:
            raise ValueError(
                f"signal_seconds: {self.signal_seconds} leave nothing of a time limit of {shortest} minutes; lower it, "
                "or ask for more time"
            )
        return self

    @field_serializer("variants")
    def _only_what_was_set(self, variants: dict[str, Request]) -> dict[str, Any]:
        return {name: request.model_dump(mode="json", exclude_unset=True) for name, request in variants.items()}

    def changed(self, /, **values: Any) -> ExecutorSpec:
        """The same with some values changed, those that are not None.

        Raises:
            UserError: one of them is not valid.
        """
        given = {name: value for name, value in values.items() if value is not None}
        try:
            return ExecutorSpec.model_validate(self.model_dump(mode="json") | given)
        except ValidationError as error:
            raise UserError(explain(error, "executor", ExecutorSpec)) from None

    def request(self, names: Iterable[str]) -> Request:
        """What a training asks for that serves the variants called `names`.

        Raises:
            UserError: two of them ask for different things, and share the training.
        """
        common = Request(**{name: getattr(self, name) for name in Request.model_fields})
        asked = {name: _changed(common, self.variants[name]) for name in names if name in self.variants}
        if len(set(asked.values())) > 1:
            raise UserError(
                f"executor.variants: {' and '.join(asked)} share one training, which can ask for one thing only; give "
                "them the same requests"
            )
        return next(iter(asked.values()), common)

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Refuse `variants` that are not among the experiment's, whose labels and names are `names`.

        Raises:
            UserError: one is not.
        """
        names = list(dict.fromkeys(names))
        for name in self.variants:
            if name not in names:
                raise UserError(
                    f"executor.variants: there is no variant {name!r} in the experiment; {nearest(name, names)}"
                )


def _changed(common: Request, override: Request) -> Request:
    return common.model_copy(update={name: getattr(override, name) for name in override.model_fields_set})
