"""What an experiment stands for: its grid, cell by cell, each with its training and its meta-tests."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from algorithms.registry import SCORED, AlgorithmEntry, UnknownAlgorithm, get_algorithm
from suite.errors import UserError, nearest
from suite.experiment.budgets import AnyBudget, preset_of, protocol_for, steps_and_milestones
from suite.experiment.declaration import Choice, Experiment
from suite.experiment.origins import origin_words
from suite.experiment.plugins import advice, plugins_of
from suite.experiment.presets import resolve_blocks
from suite.experiment.specs import EvaluationProtocol, Execution, MetatestSpec, TrainingSpec
from suite.experiment.twins import SUFFIX, twin_values
from tasks.plugins import in_one_line
from tasks.registry import InvalidDeclaration, UnknownName, get_family, get_split, refuse_leaks, splits
from tasks.spec import TaskSplit

if TYPE_CHECKING:
    from algorithms.base import TrainConfig


MOST_CELLS = 20_000
"""Of one experiment."""


class Cell(NamedTuple):
    """One cell of the grid: its meta-tests (the final one last), or the reason why there are none."""

    variant: str
    algorithm: str
    split: TaskSplit
    seed: int
    reason: str | None
    training: TrainingSpec | None = None
    execution: Execution | None = None
    metatests: tuple[MetatestSpec, ...] = ()
    values: str = ""  # where they come from, in words


def expand(experiment: Experiment) -> list[Cell]:
    """All cells of the grid, in the order splits, algorithms, axes, seeds.

    Raises:
        UserError: an unknown algorithm, split, preset or key, an impossible value, two variants that are the same, or
            a budget that ends before the initial exploration.
    """
    _refuse_too_many(experiment)
    own = _own_splits(experiment)
    splits = [_split(name, own) for name in experiment.splits]
    choices = list(_with_twins(_variants(experiment)))
    labels = [choice.variant for choice in choices]
    if len(set(labels)) < len(labels):
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        raise UserError(f"algorithms: {', '.join(repeated)} occurs twice; give one of them another `label`")
    pairs = itertools.product(splits, choices)
    cells = [cell for split, choice in pairs for cell in _explained_cells(experiment, choice, split)]
    cells = _with_shared_executions(cells)
    _refuse_repetition(cells)
    experiment.executor.refuse_unknown(labels)
    experiment.report.refuse_unknown(labels, [split.full_name for split in splits])
    return cells


def trainings_of(experiment: Experiment) -> dict[str, set[str]]:
    """The hashes of the trainings of each variant of an experiment."""
    trainings: dict[str, set[str]] = {}
    for cell in expand(experiment):
        trainings.setdefault(cell.variant, set()).update([cell.training.hash] if cell.training else [])
    return trainings


def _refuse_too_many(experiment: Experiment) -> None:
    """Nothing, if the grid is one that somebody could want to run."""
    labels = [choice.variant for choice in experiment.algorithms]
    axes = [(_axis(key, labels)[0], len(values)) for key, values in experiment.axes.items()]
    variants = sum(
        (2 if choice.twin else 1) * math.prod(size for label, size in axes if label == choice.variant)
        for choice in experiment.algorithms
    )
    cells = len(experiment.splits) * variants * len(experiment.seeds)
    if cells > MOST_CELLS:
        raise UserError(
            f"the grid has {cells:,} cells ({len(experiment.splits)} splits x {variants:,} variants x "
            f"{len(experiment.seeds):,} seeds); at most {MOST_CELLS:,} are allowed in one experiment: take fewer "
            "seeds or values of axes, or make several experiments of it"
        )


def _own_splits(experiment: Experiment) -> dict[str, TaskSplit]:
    own: dict[str, TaskSplit] = {}
    for declaration in experiment.own_splits:
        try:
            split = declaration.split()
        except (UnknownName, InvalidDeclaration) as error:
            raise UserError(f"own_splits: {error}") from None
        if split.full_name in own:
            raise UserError(f"own_splits: {split.full_name} is declared twice; give one of them another name")
        own[split.full_name] = split
    for split in own.values():
        try:
            refuse_leaks(split, (*splits(), *own.values()))
        except InvalidDeclaration as error:
            raise UserError(f"own_splits: {error}") from None
    return own


def _split(name: str, own: dict[str, TaskSplit]) -> TaskSplit:
    """The split of that name, the user's own among them; its family may be given by its nickname."""
    try:
        family, _, last = name.partition(".")
        full_name = f"{get_family(family).name}.{last}"
        return own[full_name] if full_name in own else get_split(name)
    except UnknownName as error:
        near = difflib.get_close_matches(name, own, n=1)
        hint = f" Of own_splits, did you mean {near[0]}?" if near else ""
        raise UserError(f"splits: {error}{hint}") from None


def _variants(experiment: Experiment) -> Iterator[Choice]:
    """Each algorithm, once per combination of the axes that name it."""
    labels = [choice.variant for choice in experiment.algorithms]
    axes = {key: _axis(key, labels) for key in experiment.axes}
    for choice in experiment.algorithms:
        mine = {place: experiment.axes[key] for key, place in axes.items() if place[0] == choice.variant}
        for values in itertools.product(*mine.values()):
            blocks = {"train": dict(choice.train), "adapt": dict(choice.adapt)}
            for (_, block, field), value in zip(mine, values):
                blocks[block][field] = value
            suffix = "".join(f" {field}={value}" for (_, _, field), value in zip(mine, values))
            label = f"{choice.variant}{suffix}" if suffix else choice.label
            yield choice.model_copy(update={"label": label, **blocks})


def _with_twins(choices: Iterable[Choice]) -> Iterator[Choice]:
    """Each variant, and after those that ask for it their unadapted twin."""
    for choice in choices:
        yield choice
        if choice.twin:
            own = {"label": choice.variant + SUFFIX, "adapt": choice.adapt | twin_values(choice.name), "twin": False}
            yield choice.model_copy(update=own)


def _axis(key: str, labels: list[str]) -> tuple[str, str, str]:
    """Label, block and field that an axis names; a label may hold dots."""
    for label in labels:
        block, _, field = key.removeprefix(f"{label}.").partition(".")
        if key.startswith(f"{label}.") and block in ("train", "adapt") and field and "." not in field:
            return label, block, field
    stem, _, field = key.rpartition(".")
    hint = nearest(stem, [f"{label}.{block}" for label in labels for block in ("train", "adapt")])
    raise UserError(f"axes: {key} is not `label.train.field` or `label.adapt.field`; before {field!r}: {hint}")


def _refuse_repetition(cells: list[Cell]) -> None:
    """Refuse two variants that stand for the same run."""
    first: dict[str, Cell] = {}  # by run
    for cell in cells:
        for metatest in cell.metatests:
            other = first.setdefault(metatest.hash, cell)
            if other.variant != cell.variant:
                raise UserError(
                    f"algorithms: {other.variant!r} and {cell.variant!r} have the same configuration on "
                    f"{cell.split.full_name}, so they are one run; take one out or change it"
                )


def _with_shared_executions(cells: list[Cell]) -> list[Cell]:
    """The cells, with one execution for all that share a training: their largest budget, the others' on its way."""
    stops: dict[str, set[int]] = {}
    for cell in cells:
        if cell.training is not None and cell.execution is not None:
            stops.setdefault(cell.training.hash, set()).update({cell.execution.env_steps, *cell.execution.milestones})
    return [cell._replace(execution=_up_to(cell.execution, stops[cell.training.hash]))
            if cell.training is not None and cell.execution is not None else cell for cell in cells]  # fmt: skip


def _up_to(execution: Execution, stops: set[int]) -> Execution:
    """An execution whose training stops at each of some numbers of environment steps, the largest of them its end."""
    if stops == {execution.env_steps, *execution.milestones}:
        return execution
    *milestones, end = sorted(stops)
    return execution.model_copy(update={"env_steps": end, "milestones": tuple(milestones)})


def training_tasks(entry: AlgorithmEntry, split: TaskSplit) -> tuple[tuple[float, ...], ...]:
    """The tasks that an algorithm trains on, (task, parameter): the train list, or of other lists each task once."""
    if entry.trains_on == ("train",):
        return split.train
    return tuple(dict.fromkeys(task.values for name in entry.trains_on for task in split.tasks(name)))


def _explained_cells(experiment: Experiment, choice: Choice, split: TaskSplit) -> list[Cell]:
    """A variant's cells on a split.

    Raises:
        UserError: it cannot run there; or what a plugin declares of its values fails, which is then said.
    """
    try:
        return list(_cells(experiment, choice, split))
    except UserError:
        raise
    except Exception as error:
        plugins = plugins_of([choice.name], split.family)
        if not plugins:
            raise
        words = f"{in_one_line(error)}{advice(error, plugins)}"
        raise UserError(f"{choice.variant} on {split.full_name}: {words}") from error


def _cells(experiment: Experiment, choice: Choice, split: TaskSplit) -> Iterator[Cell]:
    """A variant on a split, with every seed; a reference with the first alone."""
    try:
        entry = get_algorithm(choice.name)
    except UnknownAlgorithm as error:
        raise UserError(f"algorithms: {error}") from None
    if choice.name in SCORED:
        raise UserError(
            f"algorithms: {choice.variant} is a policy from elsewhere, which no experiment trains: `offmap score "
            f"{split.full_name} --policy FILE --out RESULTS` puts its row beside the results of one"
        )
    seeds = experiment.seeds[:1] if entry.is_reference else experiment.seeds
    family = get_family(split.family)
    reason = entry.unsupported(family)
    if reason is not None:
        yield from (Cell(choice.variant, choice.name, split, seed, reason) for seed in seeds)
        return
    for which in ("protocol", "milestone_protocol"):
        _require_lists(getattr(experiment, which), split, which)
    budget = choice.budget or experiment.budget
    preset = choice.preset or preset_of(budget, entry)
    train, adapt = resolve_blocks(entry, split, preset, choice.train, choice.adapt, experiment.device)
    tasks = training_tasks(entry, split)
    problem = train.problem(family.spaces, len(tasks))
    if problem is not None:
        raise UserError(f"{choice.variant} on {split.full_name}: {problem}")
    execution = _execution(experiment, budget, choice, split, entry, preset, train, len(tasks))
    protocols = [
        (steps, protocol_for(declared, experiment.native_protocol, entry, split.full_name))
        for steps, declared in (
            *((steps, experiment.milestone_protocol) for steps in sorted(set(execution.milestones))),
            (execution.env_steps, experiment.protocol),
        )
    ]
    most = max(protocol.adaptation_transitions or split.adaptation_transitions for _, protocol in protocols)
    problem = adapt.problem(train, most)
    if problem is not None:
        raise UserError(f"{choice.variant} on {split.full_name}: {problem}")
    train_config, adapt_config = train.model_dump(mode="json"), adapt.model_dump(mode="json")
    values = origin_words(entry, split, preset, choice.train, choice.adapt)
    for seed in seeds:
        training = TrainingSpec(
            algorithm=entry.training, family=family.name, family_version=family.version, train_tasks=tasks,
            config=train_config, seed=seed,
        )  # fmt: skip
        tests = tuple(
            MetatestSpec(
                training=training.hash, env_steps=steps, is_final=steps == execution.env_steps, algorithm=choice.name,
                split=split, protocol=protocol, config=adapt_config,
            )
            for steps, protocol in protocols
        )  # fmt: skip
        yield Cell(choice.variant, choice.name, split, seed, None, training, execution, tests, values)


def _execution(
    experiment: Experiment, declared: AnyBudget, choice: Choice, split: TaskSplit, entry: AlgorithmEntry,
    preset: str | None, train: TrainConfig, num_tasks: int,
) -> Execution:  # fmt: skip
    """How the trainings of a variant on a split are carried out.

    Raises:
        UserError: the budget, or a milestone, ends before the first iteration does.
    """
    budget, milestones = steps_and_milestones(declared, entry, preset, split, train, num_tasks)
    least, needed = min((budget, *milestones)), train.first_steps(num_tasks)
    if least < needed:
        raise UserError(
            f"budget: {least} env steps are fewer than the {needed} of the first iteration of {choice.variant} on "
            f"{split.full_name} ({num_tasks} training tasks); raise the budget or explore less at first"
        )
    return Execution(
        env_steps=budget, milestones=milestones, device=experiment.device,
        checkpoint_seconds=experiment.checkpoint_seconds, tensorboard=experiment.tensorboard,
    )  # fmt: skip


def _require_lists(protocol: EvaluationProtocol, split: TaskSplit, which: str) -> None:
    """Refuse a protocol that tests a list that the split does not have, or lists without a single task."""
    names = ["train", "test", "test_id", *split.extra]
    unknown = [name for name in protocol.task_lists if name not in names]
    if unknown:
        raise UserError(
            f"{which}.task_lists: {split.full_name} has no list {unknown[0]!r}; {nearest(unknown[0], names)}"
        )
    if not any(split.values(name) for name in protocol.task_lists):
        filled = ", ".join(name for name in names if split.values(name))
        raise UserError(
            f"{which}.task_lists: {list(protocol.task_lists)} of {split.full_name} are empty; it has {filled}"
        )
