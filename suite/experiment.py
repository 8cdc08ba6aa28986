"""Experiments: a declared grid of splits, algorithms, hyper-parameter axes and seeds, from YAML."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import BeforeValidator, Field, PositiveInt, ValidationError, field_validator

from algorithms.registry import UnknownAlgorithm, get_algorithm
from suite.errors import UserError
from suite.presets import resolve_blocks
from suite.specs import EvaluationProtocol, Execution, MetatestSpec, TrainingSpec
from tasks.declare import SplitDeclaration
from tasks.registry import InvalidDeclaration, UnknownName, get_family, get_split
from tasks.spec import Frozen, TaskSplit


class Budget(Frozen):
    """When a meta-training stops, and which checkpoints on the way are tested too."""

    env_steps: PositiveInt = Field(description="environment steps, initial exploration included")
    milestones: tuple[PositiveInt, ...] = Field(
        default=(), description="env steps at which a checkpoint is kept and tested under `milestone_protocol`"
    )


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


def _as_choice(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Experiment(Frozen):
    """A declared grid: splits x algorithms x axes x seeds, with a budget and a protocol."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="also the name of the results folder")
    description: str = ""
    splits: tuple[str, ...] = Field(min_length=1, description="`family.split` names, own splits included")
    own_splits: tuple[SplitDeclaration, ...] = Field(default=(), description="further splits of existing families")
    algorithms: tuple[Annotated[Choice, BeforeValidator(_as_choice)], ...] = Field(min_length=1)
    axes: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict,
        description="hyper-parameter grid: `label.train.field` or `label.adapt.field` -> values to try",
    )
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    budget: Budget
    protocol: EvaluationProtocol = EvaluationProtocol()
    milestone_protocol: EvaluationProtocol = Field(
        default=EvaluationProtocol(max_tasks=10, max_updates=2000), description="how checkpoints on the way are tested"
    )
    device: str = Field(default="cpu", description="`cpu`, `cuda` or `cuda:N`; changes no identity")
    checkpoint_seconds: float = Field(default=300.0, gt=0, description="least time between checkpoints")

    @field_validator("seeds", "splits")
    @classmethod
    def _no_repetition(cls, values: tuple) -> tuple:
        if len(set(values)) < len(values):
            raise ValueError(f"{list(values)} names something twice")
        return values


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


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in a YAML file, with `a.b=c` overrides put in before it is validated.

    Raises:
        UserError: no such file, not YAML, or not a valid experiment; the message names the place and the remedy.
    """
    try:
        document = yaml.safe_load(path.read_text())
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
        _put(document, override)
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        raise UserError(explain(error, str(path), Experiment)) from None


def _put(document: dict[str, Any], override: str) -> None:
    """Set `a.b=c` in a nested document; list elements by number, algorithms also by their label."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UserError(f"--set {override!r}: write it as key=value, such as budget.env_steps=50000")
    target: Any = document
    *parents, last = path.split(".")
    for key in parents:
        target = _element(target, key, override) if isinstance(target, list) else target.setdefault(key, {})
        if not isinstance(target, dict | list):
            raise UserError(f"--set {override!r}: {key} holds the single value {target!r}, so nothing can be set in it")
    if isinstance(target, list):
        target[target.index(_element(target, last, override))] = yaml.safe_load(text)
    else:
        target[last] = yaml.safe_load(text)


def _element(target: list, key: str, override: str) -> Any:
    if key.isdigit() and int(key) < len(target):
        target[int(key)] = _as_choice(target[int(key)])
        return target[int(key)]
    for index, item in enumerate(target):
        item = _as_choice(item)
        if isinstance(item, dict) and key in (item.get("label"), item.get("name")):
            target[index] = item
            return item
    raise UserError(f"--set {override!r}: there is no {key} in a list of {len(target)}; use a number from 0 or a label")


def explain(error: ValidationError, where: str, model: type) -> str:
    """A validation error in words: each place, what was given, and the nearest valid key."""
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"]) or "the document"
        if item["type"] == "extra_forbidden":
            known = _fields_at(model, item["loc"][:-1])
            near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
            lines.append(f"{where}: {place} is not a known key; {hint}")
        elif item["type"] == "missing":
            lines.append(f"{where}: {place} is missing")
        else:
            given = repr(item["input"])
            lines.append(f"{where}: {place}: {item['msg']}, given {given[:80]}")
    return "\n".join(lines)


def _fields_at(model: Any, location: tuple) -> list[str]:
    """Names of the fields of the model found by walking `location` from `model`; [] where it is not a model."""
    for part in location:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        candidates += [inner for found in candidates for inner in getattr(found, "__args__", ())]
        model = next((found for found in candidates if hasattr(found, "model_fields")), None)
    return sorted(getattr(model, "model_fields", {}))


def expand(experiment: Experiment) -> list[Cell]:
    """All cells of the grid, in the order splits, algorithms, axes, seeds.

    Raises:
        UserError: an unknown algorithm, split, preset or key, an impossible value, or a budget that ends before the
            initial exploration.
    """
    own = {}
    for declaration in experiment.own_splits:
        try:
            split = declaration.split()
        except (UnknownName, InvalidDeclaration) as error:
            raise UserError(f"own_splits: {error}") from None
        own[split.full_name] = split
    splits = [_split(name, own) for name in experiment.splits]
    choices = list(_variants(experiment))
    labels = [choice.variant for choice in choices]
    if len(set(labels)) < len(labels):
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        raise UserError(f"algorithms: {', '.join(repeated)} occurs twice; give one of them another `label`")
    return [
        _cell(experiment, choice, split, seed)
        for split, choice, seed in itertools.product(splits, choices, experiment.seeds)
    ]


def _split(name: str, own: dict[str, TaskSplit]) -> TaskSplit:
    if name in own:
        return own[name]
    try:
        return get_split(name)
    except UnknownName as error:
        raise UserError(f"splits: {error}") from None


def _variants(experiment: Experiment) -> Iterator[Choice]:
    """Each algorithm, once per combination of the axes that name it."""
    labels = [choice.variant for choice in experiment.algorithms]
    for key in experiment.axes:
        label, _, field = key.partition(".")
        if label not in labels or field.partition(".")[0] not in ("train", "adapt") or field.count(".") != 1:
            near = difflib.get_close_matches(label, labels, n=1)
            hint = f"did you mean {near[0]}?" if near and label not in labels else f"labels: {', '.join(labels)}"
            raise UserError(f"axes: {key} is not `label.train.field` or `label.adapt.field`; {hint}")
    for choice in experiment.algorithms:
        axes = {key.split(".", 1)[1]: values for key, values in experiment.axes.items()
                if key.split(".")[0] == choice.variant}  # fmt: skip
        for values in itertools.product(*axes.values()):
            point = dict(zip(axes, values))
            blocks = {
                block: getattr(choice, block)
                | {key.split(".")[1]: value for key, value in point.items() if key.startswith(f"{block}.")}
                for block in ("train", "adapt")
            }
            suffix = "".join(f" {key.split('.')[1]}={value}" for key, value in point.items())
            label = f"{choice.variant}{suffix}" if suffix else choice.label
            yield choice.model_copy(update={"label": label, **blocks})


def _cell(experiment: Experiment, choice: Choice, split: TaskSplit, seed: int) -> Cell:
    try:
        entry = get_algorithm(choice.name)
    except UnknownAlgorithm as error:
        raise UserError(f"algorithms: {error}") from None
    family = get_family(split.family)
    reason = entry.unsupported(family)
    if reason is not None:
        return Cell(choice.variant, choice.name, split, seed, reason)
    train, adapt = resolve_blocks(entry, split, choice.preset, choice.train, choice.adapt, experiment.device)
    training = TrainingSpec(
        algorithm=entry.training, family=family.name, family_version=family.version, train_tasks=split.train,
        config=train.model_dump(mode="json"), seed=seed,
    )  # fmt: skip
    budget = experiment.budget
    least, needed = min(budget.env_steps, *budget.milestones, budget.env_steps), train.first_steps(len(split.train))
    if least < needed:
        raise UserError(
            f"budget: {least} env steps are fewer than the {needed} of the first iteration of {choice.variant} on "
            f"{split.full_name} ({len(split.train)} training tasks); raise the budget or explore less at first"
        )
    execution = Execution(
        env_steps=budget.env_steps, milestones=budget.milestones, device=experiment.device,
        checkpoint_seconds=experiment.checkpoint_seconds,
    )  # fmt: skip

    def metatest(env_steps: int, protocol: EvaluationProtocol) -> MetatestSpec:
        return MetatestSpec(
            training=training.hash, env_steps=env_steps, is_final=env_steps == budget.env_steps, algorithm=choice.name,
            split=split, protocol=protocol, config=adapt.model_dump(mode="json"),
        )  # fmt: skip

    tests = [metatest(steps, experiment.milestone_protocol) for steps in budget.milestones if steps < budget.env_steps]
    tests.append(metatest(budget.env_steps, experiment.protocol))
    return Cell(choice.variant, choice.name, split, seed, None, training, execution, tuple(tests))
