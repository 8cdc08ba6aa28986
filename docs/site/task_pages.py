"""A page per task family with all its splits, and one that lists them: from the registry and the simulating code."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from text import WIDE, as_page, code, fenced, folded, formula, source_of, table

from tasks.environments import gymnasium_id
from tasks.pictures.split import save_split
from tasks.registry import families, splits
from tasks.spec import FULL, TaskFamily, TaskSplit
from tasks.tuning import support_in_words

HERE = Path(__file__).parent
BODY_PICTURES = HERE.parent / "images" / "bodies"
NOTES = yaml.safe_load((HERE / "families.yaml").read_text())["families"]
MOST_VALUES = 4
"""Parameters of a task up to which its values are listed."""


def navigation() -> list[Any]:
    """The entries of the section."""
    return ["tasks/index.md", *({family.name: f"tasks/{family.name}.md"} for family in families())]


def pages() -> dict[str, str]:
    """The Markdown of each page."""
    made = {"tasks/index.md": _overview()}
    return made | {f"tasks/{family.name}.md": family_page(family) for family in families()}


def pictures(folder: Path) -> dict[str, Path]:
    """The pictures of all splits, drawn into a folder, by their place in the site."""
    return {f"tasks/{s.full_name}.png": save_split(s, folder / f"{s.full_name}.png") for s in splits()}


def _overview() -> str:
    rows = [
        (
            f"[{split.full_name}]({split.family}.md#{anchor(split)})", split.role, _of(split).varies,
            words(split.shift), len(split.train), len(split.test), len(split.test_id), split.adaptation_transitions,
            _number(split.references.null), _number(split.references.ceiling), code(split.hash),
        )
        for split in splits()
    ]  # fmt: skip
    columns = ("split", "role", "varies", "shift", "train", "test", "test_id", "adaptation steps", "zero action",
               "ceiling", "hash")  # fmt: skip
    return f"""{WIDE}# Families and splits

A *family* is a parametric set of tasks with equal observations and actions. A *split* freezes which of them are trained
on (`train`), which are tested (`test`), and fresh ones of the training distribution (`test_id`).
[Concepts](../concepts.md) has the words, [protocol](../protocol.md) the rules that a split obeys.

`offmap tasks list` prints this table, `offmap tasks show NAME` what a page here says, `offmap tasks verify` checks it
all against the simulator. Values of ours are chosen on *tuning* splits alone; results are reported on *benchmark*
splits.

{table(columns, rows)}
Returns are of one episode, the mean over the `test` list. A horizon is 200 steps (20 on the point families).
"""


def family_page(family: TaskFamily) -> str:
    """What there is to know of a family and its splits."""
    module, _, name = family.entry_point.partition(":")
    environment, notes = getattr(import_module(module), name), NOTES[family.name]
    constants = vars(import_module(module)) | {"upright": import_module("tasks.environments.upright")}
    facts = [
        ("varies", family.varies),
        (
            "body",
            family.body + (f", `{environment.xml}` of gymnasium" if hasattr(environment, "xml") else ", no simulator"),
        ),
        ("observation", f"{family.observation_dim} numbers"),
        ("action", f"{family.action_dim} numbers in [-1, 1], scaled to the actuators' range and clipped"),
        ("horizon", f"{family.horizon} steps of {family.dt:g} s"),
        ("start of an episode", notes["start"].format_map(constants)),
        ("end of an episode", notes["ends"].format_map(constants)),
        (
            "views",
            ", ".join(f"`{view}` ({len(family.spaces.columns(view))} numbers)" for view in (FULL, *family.views)),
        ),
        ("analytic reward", family.analytic_reward or "none: planners do not run here"),
        ("in gymnasium", code(gymnasium_id(family))),
        ("nickname, version", f"`{family.nickname}`, {family.version}"),
        ("source", family.source),
    ]
    parameters = [(code(p.name), p.size, _ends(p), p.unit, p.description) for p in family.parameters]
    symbols = [(f"`{symbol}`", meaning) for symbol, meaning in notes["symbols"].items()]
    own = [split for split in splits() if split.family == family.name]
    return "\n".join([
        f"# {family.name}\n\n{family.description}\n",
        "## What a task is\n", table(("parameter", "elements", "range", "unit", "meaning"), parameters),
        "## Reward\n", formula(notes["reward"].format_map(constants)),
        table(("symbol", "meaning"), symbols) if symbols else "",
        folded("The code that computes it", _code_of(environment)),
        "## Facts\n", table(("", ""), facts),
        folded(f"The body, from `{module.replace('.', '/')}.py`", as_page(str(import_module(module).__doc__))),
        "## Traps\n", *[f"- {trap.format_map(constants)}" for trap in notes["traps"]], "",
        *_bodies(own), "## Splits\n", *map(split_section, own),
    ])  # fmt: skip


def _code_of(environment: Any) -> str:
    """Reward and termination rule of an environment, as they are written; of a point, the distance and the step."""
    names = ("reward", "terminated") if hasattr(environment, "xml") else ("distance", "step")
    return fenced("\n\n".join(source_of(getattr(environment, name)) for name in names), "python")


def _bodies(own: list[TaskSplit]) -> list[str]:
    """Committed pictures of bodies, which need OpenGL to be drawn."""
    drawn = [split for split in own if (BODY_PICTURES / f"{split.full_name}.png").exists()]
    return [
        f"![The body at rest, with the joints that {s.full_name} varies marked](../images/bodies/{s.full_name}.png)"
        "{ .picture }\n"
        for s in drawn
    ]


def split_section(split: TaskSplit) -> str:
    """What there is to know of a split."""
    family, references = _of(split), split.references
    counts = ", ".join(f"{len(split.tasks(name))} `{name}`" for name in ("train", "test", "test_id", *split.extra))
    same = "; `test_id` is the training list itself" if split.test_id_is_train else ""
    facts = [
        ("role", f"tuning split, for {', '.join(map(code, split.tunes))}" if split.tunes else "benchmark split"),
        ("shift", words(split.shift)),
        ("tasks", counts + same),
        ("adaptation data", f"{split.adaptation_transitions} transitions per test task"),
        ("training distribution", support_in_words(split, family)),
        ("drawn", split.drawn),
        ("zero action", f"{_number(references.null)} (score 0)"),
        ("ceiling", f"{_number(references.ceiling)} (score 1)"),
        *([("task-blind optimum", f"{references.blind_train:g} in training, {references.blind_test:g} on `test`")]
          if references.blind_train is not None else []),
        ("where these are from", references.source),
        ("version, hash", f"{split.version}, `{split.hash}`"),
    ]  # fmt: skip
    picture = f"![Training and test tasks of {split.full_name}]({split.full_name}.png){{ .picture loading=lazy }}"
    return "\n".join([
        f"### {split.name} {{ #{anchor(split)} }}\n", f"{split.description}\n", f"{picture}\n", table(("", ""), facts),
        folded("Its tasks", _lists(split)) if family.parameter_dim <= MOST_VALUES else
        f"`offmap tasks show {split.full_name} --json` lists the values of its tasks.\n",
    ])  # fmt: skip


def _lists(split: TaskSplit) -> str:
    lines = []
    for name in split.lists:
        tasks = ", ".join(" ".join(f"{value:.4g}" for value in task.values) for task in split.tasks(name))
        lines += [f"`{name}`: {tasks}", ""]
    return "\n".join(lines)


def anchor(split: TaskSplit) -> str:
    """Where a split stands on its family's page."""
    return f"split-{split.name}"


def words(name: str) -> str:
    """A declared word for readers."""
    return name.replace("_", " ")


def _of(split: TaskSplit) -> TaskFamily:
    return next(family for family in families() if family.name == split.family)


def _ends(parameter: Any) -> str:
    low, high = ("" if end is None else f"{end:.4g}" for end in (parameter.low, parameter.high))
    return f"{low or 'unbounded'} to {high or 'unbounded'}" if low or high else "unbounded"


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:g}"
