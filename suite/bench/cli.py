"""`offmap bench`, which joins the command line through the entry points `offmap.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from suite.cli.output import AsJson, print_json, print_lines, print_table


def bench(
    as_json: AsJson = False,
    device: Annotated[str, typer.Option(help="Where gradient steps are timed; limits hold for the cpu.")] = "cpu",
    peer: Annotated[
        bool, typer.Option("--peer", help="Time Stable Baselines Jax too; needs `pip install 'offmap\\[bench]'`.")
    ] = False,
) -> None:
    """Measure the declared speed and memory figures on one thread; about four minutes on an idle machine."""
    from rich.console import Console

    from suite.bench.run import PARTS, PEER, run_bench

    if peer:
        from suite.bench.peer import require_peer

        require_peer()
    with Console(stderr=True).status("measuring") as spinner:
        parts = (*PARTS, PEER) if peer else PARTS
        figures = run_bench(parts=parts, device=device, on_part=lambda part: spinner.update(f"measuring: {part}"))
    broken = [figure for figure in figures if figure.holds is False]
    if as_json:
        print_json({"figures": [figure.as_json() for figure in figures], "holds": not broken})
    else:
        columns = ("figure", "value", "unit", "limit", "ratio", "", "note")
        rows = []
        for figure in figures:
            limit = ""
            if figure.reference is not None:
                limit = f"{'at least' if figure.at_least else 'at most'} {figure.reference:,.3g}"
            verdict = {True: "holds", False: "BROKEN", None: ""}[figure.holds]
            rows.append((figure.name, figure.value, figure.unit, limit, figure.ratio, verdict, figure.note))
        print_table("", columns, rows)
        if broken:
            print_lines([f"limits that do not hold here: {len(broken)}"])
    if broken:
        raise typer.Exit(1)
