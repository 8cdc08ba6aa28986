"""The rows of a shipped table beside one's own results: those that were measured alike, under labels of their own."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from reports.reading.comparability import run_facts
from reports.results import Results
from suite.errors import UserError

MEASURED_ALIKE = ["split", "split_hash", "protocol"]


def with_reference(results: Results, shipped: Results, name: str) -> Results:
    """Results with a shipped table's final ones on the same splits, task lists and protocol, called "label [table]".

    Args:
        results: One's own.
        shipped: All of the table.
        name: The table's.

    Raises:
        UserError: nothing in the table was measured as anything of the results was.
    """
    own, theirs = (facts[facts["is_final"]] for facts in (run_facts(results), run_facts(shipped)))
    if own.empty:
        return replace(results, notes=(*results.notes, f"No run has finished yet that could be compared with {name}."))
    alike = theirs.merge(own[MEASURED_ALIKE].drop_duplicates(), on=MEASURED_ALIKE)
    if alike.empty:
        raise UserError(_nothing_alike(own, theirs, name))
    again = set(alike["run"]) & set(own["run"])
    runs = set(alike["run"]) - again

    def beside(own_rows: pd.DataFrame, rows: pd.DataFrame, column: str = "variant") -> pd.DataFrame:
        return pd.concat([own_rows, rows.assign(**{column: rows[column] + f" [{name}]"})], ignore_index=True)

    final = shipped.records["is_final"] & shipped.records["run"].isin(runs)
    records = shipped.records[final]
    diagnostics = shipped.diagnostics[shipped.diagnostics["run"].isin(runs)]
    cells = shipped.cells[shipped.cells["split"].isin(set(alike["split"])) & ~shipped.cells["run"].isin(again)]
    metrics = shipped.metrics[
        shipped.metrics["training"].isin(set(records["training"]) - set(results.records["training"]))
    ]
    notes = [f"Rows marked [{name}] are shipped with offmap, and were not run here."]
    if again:
        notes.append(f"{len(again)} of their runs were run here too, and stand under their own labels alone.")
    return replace(
        results,
        records=beside(results.records, records),
        diagnostics=beside(results.diagnostics, diagnostics),
        metrics=pd.concat([results.metrics, metrics], ignore_index=True),
        runs=results.runs | {run: shipped.runs[run] for run in sorted(runs)},
        cells=beside(results.cells, cells),
        problems=(*results.problems, *shipped.problems),
        notes=(*results.notes, *notes),
    )


def _nothing_alike(own: pd.DataFrame, theirs: pd.DataFrame, name: str) -> str:
    """The message on a table that has nothing comparable, with both sides' hashes."""
    shared = sorted(set(own["split"]) & set(theirs["split"]))
    if not shared:
        there, here = (", ".join(sorted(set(facts["split"]))) for facts in (theirs, own))
        return f"{name} has results on {there or 'no split'}, and none on {here or 'those here'}: nothing to compare"
    split = shared[0]
    (lists_here, protocol_here), (lists_there, protocol_there) = (
        [" and ".join(sorted(set(facts.loc[facts["split"] == split, column]))) for column in MEASURED_ALIKE[1:]]
        for facts in (own, theirs)
    )
    if lists_here != lists_there:
        return f"{name} was measured on other task lists of {split}: {lists_there} there, {lists_here} here"
    return (
        f"{name} follows another protocol on {split}: {protocol_there} there, {protocol_here} here; run the experiment "
        f"again with `against: {name}`, which says which settings make it comparable"
    )
