"""What adapting gained on a split, as a sentence of the summary."""

from __future__ import annotations

from reports import style
from reports.numbers.tables import gain_table
from reports.results import Results, named_rows


def gain_sentence(results: Results, split: str) -> str:
    """What each variant gained over its unadapted twin on the test tasks; empty where no gain is defined."""
    table = gain_table(results)
    rows = table[(table["split"] == split) & (table["task_list"] == "test") & (table["n"] > 0)]
    if rows.empty:
        return ""
    listed = ", ".join(
        f"{style.look(row.variant).name} {style.interval(row.mean, row.low, row.high)} (n = {row.n})"
        for row in named_rows(rows)
    )
    return f" Gain from adaptation, over the unadapted twin in the same test tasks: {listed}."
