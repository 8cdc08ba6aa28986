"""What a reader asks to see of some results: variants and splits, by their names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from reports import style
from reports.results import Results
from suite.errors import UserError, nearest


def chosen(results: Results, variants: Sequence[str] = (), splits: Sequence[str] = ()) -> Results:
    """Results of some variants on some splits alone, the splits in this order; all where none is named.

    References count as variants, by their labels.

    Raises:
        UserError: there is no variant or split of that name.
    """
    variant_of = {style.bare(label): label for label in sorted(set(results.cells["variant"]))}
    _refuse_unknown("variant", variants, variant_of)
    _refuse_unknown("split", splits, set(results.cells["split"]))
    for column, names in (("variant", [variant_of[name] for name in variants]), ("split", list(splits))):
        if names:
            records, diagnostics, cells = (
                frame[frame[column].isin(names)].reset_index(drop=True)
                for frame in (results.records, results.diagnostics, results.cells)
            )
            trainings, runs = set(records["training"]), set(records["run"])
            results = replace(
                results,
                records=records,
                diagnostics=diagnostics,
                cells=cells,
                metrics=results.metrics[results.metrics["training"].isin(trainings)].reset_index(drop=True),
                runs={run: document for run, document in results.runs.items() if run in runs},
            )
    return replace(results, chosen_variants=tuple(variants), chosen_splits=tuple(splits))


def declared(results: Results) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variants and splits that the experiment of these results wants to be shown (`report:`); of several, all."""
    blocks = [experiment.get("report") or {} for experiment in results.experiments.values()]
    block = blocks[0] if len(blocks) == 1 else {}
    return tuple(block.get("variants", ())), tuple(block.get("splits", ()))


def _refuse_unknown(what: str, given: Sequence[str], allowed: Collection[str]) -> None:
    """Refuse a name that the results do not have.

    Raises:
        UserError: one is not allowed.
    """
    for name in given:
        if name not in allowed:
            raise UserError(f"these results have no {what} {name!r}; {nearest(name, sorted(allowed))}")
