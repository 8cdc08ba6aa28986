"""`offmap reference`: the tables that are shipped with the package."""

from __future__ import annotations

from typing import Annotated

import typer

from suite.cli.output import AsJson, print_json, print_lines, print_table

app = typer.Typer(help="Results shipped with the package, to compare with.", no_args_is_help=True)


@app.command(name="list")
def list_tables(as_json: AsJson = False) -> None:
    """All shipped tables: which splits and algorithms they have, and with how many seeds."""
    from suite.results.reference import reference_tables, rows

    listed = []
    for name, folder in reference_tables().items():
        cells = rows(folder)
        splits = sorted({row.split for row in cells})
        seeds = sorted({len(row.seeds) for row in cells})
        listed.append((name, len(splits), len({row.variant for row in cells}), _span(seeds), ", ".join(splits)))
    columns = ("table", "splits", "variants", "seeds", "on")
    if as_json:
        print_json([dict(zip(columns, row)) for row in listed])
        return
    print_table("", columns, listed)
    print_lines(
        ["", "`offmap reference show TABLE` lists its rows; `against: TABLE` in an experiment compares with them"]
    )


@app.command()
def show(name: Annotated[str, typer.Argument(help="Of a shipped table.")], as_json: AsJson = False) -> None:
    """The rows of one table: variant, split, seeds, budget and revision of the code."""
    from suite.results.reference import reference_table, rows

    cells = rows(reference_table(name))
    columns = ("variant", "split", "seeds", "env steps", "revisions")
    if as_json:
        print_json([row._asdict() for row in cells])
        return
    texts = [
        (row.variant, row.split, ", ".join(map(str, row.seeds)), ", ".join(f"{n:,}" for n in row.env_steps),
         ", ".join(row.revisions))
        for row in cells
    ]  # fmt: skip
    print_table(name, columns, texts)


def _span(numbers: list[int]) -> str:
    """A number, or the first and last of several."""
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
