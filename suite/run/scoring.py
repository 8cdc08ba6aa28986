"""`offmap score`: policies that were trained elsewhere, as rows of a results folder under its protocol.

A row is declared and carried out as any other: a training that is over when it begins, of so many environment steps as
its author declares, and a meta-test of it. What the policy's files hold is part of the training's identity.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from algorithms.elsewhere.files import PolicyFile, locate_policy
from algorithms.elsewhere.loading import Policy, load_policy, refuse_unfit
from algorithms.registry import get_algorithm
from suite.errors import UserError, printable
from suite.experiment.expansion import Cell
from suite.experiment.messages import explain
from suite.experiment.overrides import put
from suite.experiment.plugins import keep_policy, policy_place
from suite.experiment.presets import validated
from suite.experiment.specs import EvaluationProtocol, Execution, MetatestSpec, TrainingSpec
from suite.results import reference
from suite.results.layout import refuse_foreign
from suite.results.prepare import add_scored
from suite.results.shapes import EXPERIMENT, read_shaped
from tasks.registry import get_family, get_split, make_batch
from tasks.spec import TaskFamily, TaskSplit
from tasks.split_declaration import SplitDeclaration


class Scored(NamedTuple):
    """What is declared of a policy, each of its `files` from a training with another seed, from 0 on.

    finetunes: None for whether it offers `adapt`.
    """

    files: tuple[PolicyFile, ...]
    name: str
    env_steps: int
    finetunes: bool | None = None


def scored(
    given: Sequence[str], beside: Sequence[str], name: str | None, env_steps: int, finetunes: bool | None
) -> Scored:
    """What is declared of the policies in some files, of which nothing is run yet.

    Args:
        given: Such as `mine.py:act`, one per seed.
        beside: Further files that each of them reads.
        name: Of the row; None: that of the file.
        env_steps: That each was trained for.
        finetunes: Whether on the adaptation data; None: whether it offers `adapt`.

    Raises:
        UserError: a file is not there, or two are the same.
    """
    files = tuple(locate_policy(one, beside) for one in given)
    digests = [(file.name, file.digest) for file in files]
    if len(set(digests)) < len(digests):
        raise UserError("--policy: two policies are the same, so that they are no two trainings; give each once")
    label = name or files[0].paths[0].stem
    if not label or printable(label) != label or len(label) > 100:
        raise UserError(f"--name: a name is up to 100 letters that can be printed on one line, given {label!r}")
    return Scored(files, label, env_steps, finetunes)


def prepare_scores(
    policies: Scored, split: str, out: Path, overrides: Sequence[str] = (), against: str | None = None
) -> list[Path]:
    """The training folders of some policies on a split, written into a results folder once they have been tried out.

    Of a folder that an experiment has prepared, the protocol and its own splits are taken.

    Args:
        policies: What is declared of them.
        split: Its name.
        out: The results folder, new or not.
        overrides: Changes of the protocol, such as `protocol.max_tasks=5`.
        against: A shipped table whose protocol is followed in a new folder, so that its rows can stand beside these.

    Raises:
        UserError: a policy does not fit, the split or the protocol is none, the folder holds something else, or what
            is measured in it could not stand beside the table.
    """
    declared, name = _declared(out), folder_name(out.resolve().name)
    if not declared:
        refuse_foreign(name, out)
    chosen = _split(split, declared)
    if against is not None and not declared:
        declared["protocol"] = reference.protocol_of(against, chosen)
    for override in overrides:
        if not override.strip().startswith("protocol."):
            raise UserError(f"--set {override}: only the protocol can be changed, such as protocol.max_tasks=5")
        put(declared, override)
    protocol = _checked(EvaluationProtocol, declared.get("protocol") or {}, "protocol")
    finetunes = {_try_out(file, chosen, policies.finetunes) for file in policies.files}
    if len(finetunes) > 1:
        raise UserError("--policy: some of them offer `adapt` and some do not; say --adapt or --no-adapt")
    algorithm = "policy-finetuned" if finetunes.pop() else "policy"
    cells = [_cell(policies, file, seed, algorithm, chosen, protocol) for seed, file in enumerate(policies.files)]
    if against is not None:
        reference.refuse_incomparable(against, {chosen.full_name: cells[0].metatests[-1]})
    document = {
        "name": name, "splits": [chosen.full_name],
        "algorithms": [{"name": algorithm, "label": policies.name}], "seeds": list(range(len(cells))),
        "budget": {"env_steps": policies.env_steps}, "protocol": protocol.model_dump(mode="json"), "scored": True,
    } | ({} if against is None else {"against": against})  # fmt: skip
    for file in policies.files:
        keep_policy(file, out)
    return add_scored(cells, out, document)


def folder_name(label: str) -> str:
    """A label as the name of a results folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-._") or "scores"


def _declared(out: Path) -> dict[str, Any]:
    """The experiment of a results folder; nothing where there is none."""
    if not (out / "experiment.json").exists():
        return {}
    return dict(read_shaped(out / "experiment.json", EXPERIMENT)["experiment"])


def _checked(model: Any, document: Any, where: str) -> Any:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise UserError(explain(error, where, model)) from None


def _split(name: str, declared: dict[str, Any]) -> TaskSplit:
    """The split of that name, those of the folder's experiment among them."""
    own = [_checked(SplitDeclaration, one, "own_splits").split() for one in declared.get("own_splits") or ()]
    return next((split for split in own if split.full_name == name), None) or get_split(name)


def _try_out(file: PolicyFile, split: TaskSplit, finetunes: bool | None) -> bool:
    """Whether a policy is to be fine-tuned, after it has acted on first observations, with no files but its own.

    Raises:
        UserError: it cannot be loaded, does not act, or is to be fine-tuned and offers no `adapt`.
    """
    family = get_family(split.family)
    with tempfile.TemporaryDirectory() as scratch:
        for path in file.paths:
            shutil.copyfile(path, Path(scratch) / path.name)
        function = load_policy(file.name, Path(scratch), family.spaces)
        policy = Policy(file.name, function, family.spaces, Path(scratch) / file.paths[0].name)
        refuse_unfit(policy, _first_observations(family, split))
    offers = callable(getattr(function, "adapt", None))
    if finetunes and not offers:
        raise UserError(
            f"policy {file.name} offers no `adapt(data)`, so that it cannot be fine-tuned: give a class with "
            "`__call__(observations)` and `adapt(data)`, or leave --adapt out"
        )
    return offers if finetunes is None else finetunes


def _first_observations(family: TaskFamily, split: TaskSplit) -> np.ndarray:
    """Those of episodes in three training tasks, (row, observation)."""
    values = np.array(split.train[:3])
    environment = make_batch(family, len(values))
    environment.set_tasks(values)
    return environment.reset(np.arange(len(values)), [np.random.default_rng(row) for row in range(len(values))])


def _cell(
    policies: Scored, file: PolicyFile, seed: int, algorithm: str, split: TaskSplit, protocol: EvaluationProtocol
) -> Cell:
    """A policy on a split, as a cell of a grid."""
    entry, family = get_algorithm(algorithm), get_family(split.family)
    train = validated(
        entry.load("train"), {"policy": file.name, "files": file.files, "env_steps": policies.env_steps}, "policy"
    )
    training = TrainingSpec(
        algorithm=entry.training, family=family.name, family_version=family.version, train_tasks=split.train,
        config=train.model_dump(mode="json"), seed=seed,
    )  # fmt: skip
    test = MetatestSpec(
        training=training.hash, env_steps=policies.env_steps, is_final=True, algorithm=algorithm, split=split,
        protocol=protocol, config=entry.load("adapt")().model_dump(mode="json"),
    )  # fmt: skip
    execution = Execution(env_steps=policies.env_steps, plugins=(policy_place(file),))
    adapts = "fine-tuned on the adaptation data" if algorithm == "policy-finetuned" else "no adaptation"
    values = f"made elsewhere, with {policies.env_steps:,} training steps as its author declares; {adapts}"
    return Cell(policies.name, algorithm, split, seed, None, training, execution, (test,), values)
