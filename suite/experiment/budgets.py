"""Budgets, given or named, and native protocols: data in `configs/budgets.yaml` and each algorithm's own file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Field, PositiveInt, Tag, ValidationError, model_validator

from suite.errors import UserError
from suite.experiment.messages import explain
from suite.experiment.presets import LITE_COMPUTE, NATIVE, algorithm_document, algorithm_file, presets
from suite.experiment.shipped import shipped
from suite.experiment.specs import MOST_STEPS, EvaluationProtocol
from tasks.frozen import Frozen
from tasks.registry import get_family
from tasks.spec import TaskSplit

if TYPE_CHECKING:
    from algorithms.base import TrainConfig
    from algorithms.registry import AlgorithmEntry

BudgetName = Literal["native", "matched", "lite", "lite-compute", "smoke"]
"""`native`: each algorithm's published scale. `matched`: the paper's, for all. `lite`: as many steps for all, within a
quarter of an hour of one core. `lite-compute`: as many as fit into that time. `smoke`: the least that runs it all."""

FALLBACK = {LITE_COMPUTE: "lite"}
"""The budget whose preset and numbers serve where an algorithm has none of a budget's own."""


class Budget(Frozen):
    """When a meta-training stops, and which checkpoints on the way are tested too."""

    env_steps: PositiveInt = Field(le=MOST_STEPS, description="environment steps, initial exploration included")
    milestones: tuple[PositiveInt, ...] = Field(
        default=(),
        max_length=1000,
        description="env steps at which a checkpoint is kept and tested under `milestone_protocol`",
    )

    @model_validator(mode="after")
    def _milestones_on_the_way(self) -> Budget:
        beyond = [steps for steps in self.milestones if steps >= self.env_steps]
        if beyond:
            raise ValueError(f"milestones lie on the way to env_steps ({self.env_steps}); {beyond} do not")
        return self


def _kind_of_budget(value: Any) -> str:
    return "literal" if isinstance(value, str) else "dict"


AnyBudget = Annotated[
    Annotated[Budget, Tag("dict")] | Annotated[BudgetName, Tag("literal")], Discriminator(_kind_of_budget)
]
"""A mapping, or a word."""


class Iterations(Frozen):
    """A budget in outer iterations of whatever algorithm it is for."""

    iterations: PositiveInt = Field(description="how many, the first included")


def _kind_of_amount(value: Any) -> str:
    return "dict" if isinstance(value, dict) else "int"


Amount = Annotated[
    Annotated[PositiveInt, Tag("int")] | Annotated[Iterations, Tag("dict")], Discriminator(_kind_of_amount)
]
Amounts = dict[str, Amount]
"""Pattern of splits -> environment steps or iterations."""


class BudgetTable(Frozen):
    """The numbers of the named budgets that are the same for every algorithm."""

    matched: Amounts
    lite: Amounts
    smoke: Amounts


class NativeFields(Frozen):
    """What a native protocol may replace of the experiment's."""

    adaptation_transitions: PositiveInt | None = None
    evaluation_episodes: PositiveInt | None = None


class OwnNumbers(Frozen):
    """Budgets of an algorithm's own in its file in `configs/algorithms`: `native:`, how its authors ran it, and
    `lite-compute:`, which has no protocol.
    """  # noqa: D205

    env_steps: Amounts = Field(default_factory=dict, description="budget of meta-training by pattern of splits")
    presets: dict[str, Amounts] = Field(default_factory=dict, description="budgets of presets whose scale is another")
    protocol: dict[str, NativeFields] | None = Field(
        default=None, description="how it was tested, by pattern of splits"
    )


Numbers = TypeVar("Numbers", BudgetTable, OwnNumbers)
Value = TypeVar("Value")


def preset_of(budget: AnyBudget, entry: AlgorithmEntry) -> str | None:
    """The preset that a budget chooses where the user chose none: that of its own name, if the algorithm has it."""
    names = (budget, FALLBACK.get(budget)) if isinstance(budget, str) else ()
    return next((name for name in names if name in presets(entry.training)), None)


def steps_and_milestones(
    budget: AnyBudget, entry: AlgorithmEntry, preset: str | None, split: TaskSplit, config: TrainConfig, num_tasks: int
) -> tuple[int, tuple[int, ...]]:
    """Environment steps of a training, and those of its milestones; none where there is nothing to train.

    Raises:
        UserError: a named budget has no number for the algorithm on the split.
    """
    if not entry.trains_on:
        return 0, ()
    if isinstance(budget, Budget):
        return budget.env_steps, budget.milestones
    return steps_of(budget, entry, preset, split, config, num_tasks), ()


def protocol_for(protocol: EvaluationProtocol, native: bool, entry: AlgorithmEntry, split: str) -> EvaluationProtocol:
    """The protocol itself, or as the algorithm's authors had it."""
    return native_protocol(protocol, entry, split) if native else protocol


def steps_of(
    name: BudgetName, entry: AlgorithmEntry, preset: str | None, split: TaskSplit, config: TrainConfig, num_tasks: int
) -> int:
    """Environment steps that a named budget stands for, for one algorithm on one split.

    Raises:
        UserError: the file has no number for it.
    """
    amounts, place = _amounts(name, entry, preset)
    matching = _matching(amounts, split.full_name)
    if not matching:
        raise UserError(
            f"budget: {name} has no number for {entry.name} on {split.full_name}; {place} knows "
            f"{', '.join(amounts) or 'none'}. Add one there, or give budget: {{env_steps: ...}}"
        )
    amount = matching[-1]
    if isinstance(amount, Iterations):
        later = config.later_steps(num_tasks, get_family(split.family).spaces.horizon)
        return config.first_steps(num_tasks) + (amount.iterations - 1) * later
    return amount


def _amounts(name: BudgetName, entry: AlgorithmEntry, preset: str | None) -> tuple[Amounts, str]:
    """The numbers of a named budget for one algorithm, and the place where they stand."""
    own = own_numbers(entry.training, name)
    if name != NATIVE and not own.env_steps:
        return getattr(budget_table(), FALLBACK.get(name, name)), "configs/budgets.yaml"
    return own.presets.get(preset or "", own.env_steps), f"`{name}` in {algorithm_file(entry.training)}"


def native_protocol(protocol: EvaluationProtocol, entry: AlgorithmEntry, split: str) -> EvaluationProtocol:
    """The protocol under which an algorithm's authors tested it, as far as the suite has it; named `native`.

    Raises:
        UserError: the file has none for it.
    """
    row = own_numbers(entry.training, NATIVE).protocol
    if row is None and not entry.is_reference:
        raise UserError(
            f"native_protocol: {entry.name} has none; add `native: {{protocol: ...}}` to "
            f"{algorithm_file(entry.training)}, or leave native_protocol out"
        )
    fields: dict[str, Any] = {"name": "native"}
    for replaced in _matching(row or {}, split):
        fields |= replaced.model_dump(exclude_unset=True)
    return EvaluationProtocol.model_validate(protocol.model_dump() | fields)


def _matching(row: Mapping[str, Value], split: str) -> list[Value]:
    return [value for pattern, value in row.items() if fnmatch(split, pattern)]


@functools.cache
def budget_table() -> BudgetTable:
    """The named budgets.

    Raises:
        UserError: their file is not there, or has an unknown key or an impossible value.
    """
    return _checked(shipped("budgets.yaml"), BudgetTable, "configs/budgets.yaml")


@functools.cache
def own_numbers(training: str, name: str) -> OwnNumbers:
    """The budgets (of `native` also the protocols) that the file of a meta-training has under that name.

    Raises:
        UserError: the file has an unknown key or an impossible value there.
    """
    given = algorithm_document(training).get(name, {}) if name in (NATIVE, LITE_COMPUTE) else {}
    return _checked(given, OwnNumbers, f"{algorithm_file(training)}: {name}")


def _checked(document: Any, model: type[Numbers], where: str) -> Numbers:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise UserError(explain(error, where, model)) from None
