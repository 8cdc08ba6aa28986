"""What the results say of claims, as rows of the page: those that there are results for."""

from __future__ import annotations

from reports import style
from reports.numbers.claims import NO_DATA, verdicts
from reports.page.sections import Cell, Grid
from reports.results import Results, named_rows

HEAD = ["claim", "of whom", "difference of returns", "seeds", "verdict", "env steps"]


def rows(results: Results) -> Grid | None:
    """A row per claim that both algorithms have results for (`claims.verdicts`), None where there is none."""
    table = verdicts(results)
    body = [
        [
            Cell(row.claim),
            Cell(row.question or row.source),
            Cell(style.interval(row.mean, row.low, row.high), key=row.mean),
            Cell(str(row.n)),
            Cell(row.verdict),
            Cell(" and ".join(f"{int(steps):,}" for steps in row.env_steps.split(" and ") if steps)),
        ]
        for row in named_rows(table[table["verdict"] != NO_DATA])
    ]
    return Grid(HEAD, body) if body else None
