"""`offmap score`: a policy that was trained elsewhere, as a row beside others."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from suite.cli.plugin_option import given_plugins


def score(
    split: Annotated[str, typer.Argument(metavar="SPLIT", help="A split, as `family.split`.")],
    policy: Annotated[
        list[str],
        typer.Option(
            "--policy",
            metavar="FILE",
            help="file.py:function, a .zip of stable-baselines3, or TorchScript. A function maps observations (row, "
            "observation) to actions (row, action) in [-1, 1]. Given several times: trainings with seeds 0, 1, ...",
        ),
    ],
    env_steps: Annotated[
        int, typer.Option(min=0, max=10**12, help="Environment steps that it was trained for, as you declare.")
    ],
    name: Annotated[str | None, typer.Option(help="Of its row; by default that of the file.")] = None,
    beside: Annotated[
        list[str] | None, typer.Option("--with", metavar="FILE", help="A file that it reads, such as its weights.")
    ] = None,
    adapt: Annotated[
        bool | None,
        typer.Option(
            "--adapt/--no-adapt",
            help="Fine-tune it on every task's adaptation data by its own `adapt(data)`; by default if it has one.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the protocol: protocol.max_tasks=5.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Measure as a shipped table did (`offmap reference list`), and show its rows too."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A results folder, of an experiment too; by default runs/NAME.")
    ] = None,
) -> None:
    """Test a policy from elsewhere under the protocol, beside what a results folder holds; collect and report."""
    from suite.cli.launching import launch
    from suite.executors.launch import left_to_do
    from suite.experiment.executor import ExecutorSpec
    from suite.run.scoring import folder_name, prepare_scores, scored

    policies = scored(policy, beside or (), name, env_steps, adapt)
    folder = out or Path("runs") / folder_name(policies.name)
    folders = prepare_scores(policies, split, folder, set_ or (), against)
    todo, taken = left_to_do(folder, folders)
    words = ["offmap", "score", split, *(word for one in policy for word in ("--policy", one))]
    words += ["--env-steps", str(env_steps), "--out", str(folder)]
    words += ["--against", against] if against else []
    words += [word for file in beside or () for word in ("--with", file)] + (["--name", name] if name else [])
    words += [word for override in set_ or () for word in ("--set", override)]
    words += [word for plugin in given_plugins() for word in ("--plugin", plugin)]
    words += [] if adapt is None else ["--adapt" if adapt else "--no-adapt"]
    launch(folder, todo, ExecutorSpec(kind="local", workers=1), False, shlex.join(words), taken)
