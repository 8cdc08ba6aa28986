"""All commands of `offmap`, by topic."""

from __future__ import annotations

import typer

from suite.cli import algorithms, experiments, plugins, results, tasks, tools

PLAIN = {"no_args_is_help": True, "pretty_exceptions_enable": False}

app = typer.Typer(
    help="Measures meta-reinforcement learning on tasks outside the distribution it was trained on.",
    add_completion=True,
    **PLAIN,
)
app.add_typer(tasks.app, name="tasks")
app.add_typer(algorithms.app, name="algorithms")
for command in (experiments.plan, experiments.run, results.status, results.collect):
    app.command()(command)
for name, function in plugins.commands():
    app.command(name)(function)
for command in (results.video, tools.schema, tools.bench):
    app.command()(command)
