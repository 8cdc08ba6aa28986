"""All commands of `offmap`, by topic."""

from __future__ import annotations

from typing import Annotated

import typer

from suite.cli import algorithms, check, experiments, new, plugins, reference, results, runs, scoring, tasks, tuning
from suite.cli.plugin_option import Plugins, use
from suite.cli.version import show_versions

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_versions, help="Versions of all that counts.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Measures meta-reinforcement learning on tasks outside the distribution it was trained on."""
    del version
    use(plugin or ())


app.add_typer(tasks.app, name="tasks")
app.add_typer(algorithms.app, name="algorithms")
app.add_typer(reference.app, name="reference")
app.add_typer(new.app, name="new")
app.add_typer(check.app, name="check")
app.command()(experiments.plan)
app.command()(experiments.run)
app.command()(scoring.score)
app.command()(tuning.tune)
app.command()(results.status)
app.command()(runs.logs)
app.command()(runs.cancel)
app.command()(runs.resume)
app.command()(runs.clean)
app.command()(results.collect)
for name, function in plugins.commands():
    app.command(name)(function)
app.command()(results.video)
app.command()(experiments.schema)
