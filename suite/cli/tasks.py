"""`offmap tasks`: the families and splits of the benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suite.cli.output import AsJson, print_json, print_lines, print_table

if TYPE_CHECKING:
    from tasks.spec import TaskFamily, TaskSplit

app = typer.Typer(
    help="Families of tasks and their splits: what is trained on, what is tested.", no_args_is_help=True,
)  # fmt: skip

ROW_BY_ROW = "slow: an environment per row, stepped one after the other"
LISTED_ROWS = 12  # tasks of a list that are shown before the rest is only counted


@app.command(name="list")
def list_splits(as_json: AsJson = False) -> None:
    """All splits, family by family."""
    from tasks.plugins import PROBLEMS
    from tasks.registry import families, get_family, splits

    if as_json:
        all_splits = splits()
        document = [
            _family_document(family) | {"splits": [_split_summary(s) for s in all_splits if s.family == family.name]}
            for family in families()
        ]
        print_json({"families": document})
        return
    rows = [
        (
            split.full_name, split.role, get_family(split.family).varies, split.shift.replace("_", " "),
            len(split.train), len(split.test), len(split.test_id), split.adaptation_transitions, split.hash,
        )
        for split in splits()
    ]  # fmt: skip
    columns = ("split", "role", "varies", "shift", "train", "test", "test_id", "adaptation steps", "hash")
    print_table("", columns, rows, least=("varies", "adaptation steps", "hash", "role"))
    print_lines(f"{family.name}: {ROW_BY_ROW}" for family in families() if family.row_by_row)
    print_lines(f"broken: {words}" for words in PROBLEMS)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A family, or a split as `family.split`.")], as_json: AsJson = False
) -> None:
    """One family with its parameters and splits, or one split with its tasks."""
    from tasks.registry import get_family, get_split

    if "." in name:
        split = get_split(name)
        family = get_family(split.family)
        if as_json:
            print_json(split.model_dump(mode="json") | {"full_name": split.full_name, "hash": split.hash})
        else:
            _print_split(split, family)
        return
    family = get_family(name)
    if as_json:
        print_json(family.model_dump(mode="json") | {"splits": [_split_summary(s) for s in splits_of(name)]})
    else:
        _print_family(family)


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="A family or a split; without it, every split.")] = None,
) -> None:
    """Check splits against their declarations: lists, role, that the shift bites, the simulation, the record."""
    from rich.text import Text

    from suite.cli.output import console
    from tasks.verify import verify as checks_of

    failed = 0
    out = console()
    for split in splits_of(name):
        for check in checks_of(split):
            mark = Text("passed", "green") if check.passed else Text("FAILED", "bold red")
            words = Text(f"  {split.full_name}  {check.name}: {check.detail}")
            out.print(mark + words, soft_wrap=True, highlight=False)
            failed += not check.passed
    if failed:
        print_lines([f"checks failed: {failed}"])
        raise typer.Exit(1)


@app.command()
def render(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Families or splits; without any, every split.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("pictures"),
) -> None:
    """Draw splits: the training range and the test tasks, and where joints vary, these on the body.

    Bodies (NAME.body.png) need OpenGL; `offmap report` shows those that lie in `pictures` of a results folder.
    """
    from tasks.environments.rendering import RenderingUnavailable
    from tasks.pictures.body import has_body_picture, save_body
    from tasks.pictures.split import save_split

    chosen = [split for name in names for split in splits_of(name)] if names else splits_of(None)
    for split in chosen:
        print_lines([str(save_split(split, out / f"{split.full_name}.png"))])
        if has_body_picture(split):
            try:
                print_lines([str(save_body(split, out / f"{split.full_name}.body.png"))])
            except RenderingUnavailable as reason:
                typer.echo(f"no picture of the body of {split.full_name}: {reason}", err=True)


def splits_of(name: str | None) -> tuple[TaskSplit, ...]:
    """The split of that name, the splits of the family of that name, or all of them.

    Raises:
        UnknownName: there is no such family or split.
    """
    from tasks.registry import get_family, get_split, splits

    if name is None:
        return splits()
    if "." in name:
        return (get_split(name),)
    family = get_family(name)
    return tuple(split for split in splits() if split.family == family.name)


def _family_document(family: TaskFamily) -> dict[str, Any]:
    kept = ("name", "nickname", "version", "body", "varies", "observation_dim", "action_dim", "horizon", "terminates",
            "description", "source")  # fmt: skip
    return {field: getattr(family, field) for field in kept}


def _split_summary(split: TaskSplit) -> dict[str, Any]:
    lists = {name: len(split.tasks(name)) for name in ("train", "test", "test_id", *split.extra)}
    kept = ("role", "tunes", "shift", "version", "description", "adaptation_transitions", "test_id_is_train", "drawn")
    fields = {field: getattr(split, field) for field in kept}
    return {"name": split.full_name, "hash": split.hash, "tasks": lists} | fields


def _print_family(family: TaskFamily) -> None:
    from tasks.spec import FULL

    ends = "can end early" if family.terminates else "never ends early"
    nickname = f" (also {family.nickname})" if family.nickname != family.name else ""
    views = {view: family.spaces.columns(view) for view in (FULL, *family.views)}
    print_lines(
        [
            f"{family.name}{nickname}, version {family.version}: {family.description}",
            f"body {family.body}, {family.varies} varies, observation {family.observation_dim}, action "
            f"{family.action_dim}, {family.horizon} steps of {family.dt:g} s, {ends}",
            f"views: {', '.join(f'{view} ({len(columns)} numbers)' for view, columns in views.items())}",
            f"source: {family.source}",
            *([ROW_BY_ROW] if family.row_by_row else []),
            "",
        ]
    )
    rows = [(p.name, p.size, p.low, p.high, p.unit, p.description) for p in family.parameters]
    print_table("", ("parameter", "elements", "low", "high", "unit", "description"), rows)
    splits = splits_of(family.name)
    lists = [(s.full_name, s.role, s.shift.replace("_", " "), len(s.train), len(s.test), s.description) for s in splits]
    print_table("", ("split", "role", "shift", "train", "test", "description"), lists)


def _print_split(split: TaskSplit, family: TaskFamily) -> None:
    from tasks.tuning import support_in_words

    references = split.references
    null, ceiling = ("unknown" if end is None else f"{end:g}" for end in (references.null, references.ceiling))
    blind = "" if references.blind_train is None else (
        f", of the task-blind optimum {references.blind_train:g} in training and {references.blind_test:g} on test"
    )  # fmt: skip
    role = f"tuning split, for {', '.join(split.tunes)}" if split.tunes else "benchmark split"
    print_lines(
        [
            f"{split.full_name}, version {split.version}, hash {split.hash}: {split.description}",
            f"{role}, {split.shift.replace('_', ' ')}, {split.adaptation_transitions} adaptation steps per test task",
            f"return of the zero action {null}{blind}, ceiling {ceiling}: {references.source}",
            f"training distribution: {support_in_words(split, family)}",
            f"drawn: {split.drawn}",
            f"parameters: {', '.join(f'{p.name} ({p.size}) {p.unit}'.strip() for p in family.parameters)}",
        ]
    )
    for name in ("train", "test", "test_id", *split.extra):
        tasks = split.tasks(name)
        same = " (the training tasks themselves)" if name == "test_id" and split.test_id_is_train else ""
        print_lines([f"{name}: {len(tasks)} tasks{same}"])
        print_lines(f"  {task.index:>3}  {_values(task.values)}" for task in tasks[:LISTED_ROWS])
        if len(tasks) > LISTED_ROWS:
            print_lines([f"  ... and {len(tasks) - LISTED_ROWS} more; --json shows all"])


def _values(values: tuple[float, ...]) -> str:
    shown = " ".join(f"{value:.4g}" for value in values[:9])
    return shown if len(values) <= 9 else f"{shown} ... ({len(values)} values)"
