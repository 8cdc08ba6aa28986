"""What has to be known of each variant to read its rows: where its values come from, and what its `before` is of."""

from __future__ import annotations

import pandas as pd

from reports import style
from reports.results import Results, named_rows, value_at

NOT_RECORDED = "not recorded"
"""Of records that are older than what is asked of them."""


def variant_table(results: Results) -> pd.DataFrame:
    """One row per variant and what is said of it: variant, splits, values, before, twin.

    values: `published values`, `tuning record NAME` or `not tuned`, and what the experiment set itself. before: of
    what kind of agent the returns before adaptation are. twin: what the gain is over.
    """
    said: dict[tuple[str, str, str, str], list[str]] = {}
    for row in named_rows(results.cells.dropna(subset="run")):
        document = results.runs.get(row.run)
        if document is None:
            continue
        before = value_at(document, "gain", "before")
        words = ": ".join(before[k] for k in ("kind", "sentence") if k in before) if before else NOT_RECORDED
        values = value_at(document, "values") or NOT_RECORDED
        said.setdefault((row.variant, values, words, _twin(document)), []).append(row.split)
    rank = {variant: place for place, variant in enumerate(style.ordered(variant for variant, *_ in said))}
    rows = [
        (variant, ", ".join(dict.fromkeys(splits)), *words)
        for (variant, *words), splits in sorted(said.items(), key=lambda item: (rank[item[0][0]], item[0]))
    ]
    return pd.DataFrame(rows, columns=["variant", "splits", "values", "before", "twin"])


def _twin(document: object) -> str:
    """What a run's gain is over, in words."""
    if not isinstance(value_at(document, "gain"), dict):
        return NOT_RECORDED
    if value_at(document, "gain", "is_twin"):
        return "it is one itself"
    return "none: it never adapts" if value_at(document, "gain", "twin") is None else "its unadapted twin"
