"""What holds for whatever was recorded: unequal seeds, failed returns, one seed, no run at all."""

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reports import formats
from reports.layout import ANYWHERE
from reports.numbers import aggregates, tables
from reports.paper.tables import latex_tables
from reports.results import CELL_COLUMNS, Results

NUMBER = st.integers(0, 2**32)
SPLITS = ("cheetah-velocity.hard", "ant-goal.standard")
MAKERS = (tables.main_table, tables.gain_table, tables.gap_table, tables.score_table, tables.aggregate_table,
          tables.improvement_table, aggregates.profiles)  # fmt: skip
NUMBERS = ["mean", "low", "high", "n"]
FEW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


def algorithm(name, number, synthetic):
    """Records of one algorithm, drawn by a number: some splits, some seeds, a few tasks and episodes each."""
    generator = np.random.default_rng(number)
    rows = []
    for split in generator.choice(SPLITS, generator.integers(1, 3), replace=False):
        for seed in generator.choice(6, generator.integers(1, 5), replace=False):
            failing = generator.random() < 0.2
            for task_list, phase in (("test", "after"), ("test", "before"), ("test_id", "after")):
                returns = np.round(generator.normal(-300, 200, (generator.integers(1, 4), 2)), 1)
                if failing:
                    returns[0, 0] = generator.choice([np.nan, np.inf])
                rows += [
                    synthetic.row(
                        run=f"{name}-{split}-{seed}", training=f"t-{name}-{seed}", variant=name, split=str(split),
                        seed=int(seed), task_list=task_list, phase=phase, task=task, episode=episode,
                        **{"return": returns[task, episode]},
                    )
                    for task, episode in np.ndindex(returns.shape)
                ]  # fmt: skip
    return rows


def results(rows, synthetic):
    """Results as `load` makes them, in whatever order the rows are."""
    records = pd.DataFrame(rows)
    cells = records[["variant", "algorithm", "split", "seed", "run"]].drop_duplicates()
    cells = cells.assign(status="done", reason=None, folder="")
    empty = pd.DataFrame()
    documents = {run: synthetic.document(split=split) for run, split in zip(records["run"], records["split"])}
    return Results(("x",), records, empty, empty, documents, cells[list(CELL_COLUMNS)].reset_index(drop=True))


def keyed(frame):
    keys = [name for name in ("variant", "other", "split", "task_list", "statistic", "score") if name in frame]
    return frame.set_index(keys).sort_index()


@FEW
@given(NUMBER, NUMBER, NUMBER)
def test_permuting_rows_changes_nothing(synthetic, first, second, order):
    rows = algorithm("mier", first, synthetic) + algorithm("pearl", second, synthetic)
    mixed = [rows[place] for place in np.random.default_rng(order).permutation(len(rows))]
    one, other = (results(held, synthetic) for held in (rows, mixed))
    for make in MAKERS:
        pd.testing.assert_frame_equal(keyed(make(one)), keyed(make(other)), check_exact=True, obj=make.__name__)


@FEW
@given(NUMBER, NUMBER, NUMBER)
def test_adding_an_algorithm_changes_no_others_numbers(synthetic, first, second, third):
    rows = algorithm("mier", first, synthetic) + algorithm("pearl", second, synthetic)
    before = results(rows, synthetic)
    after = results(algorithm("a new one", third, synthetic) + rows, synthetic)
    for make in MAKERS:
        one, other = (keyed(make(held)) for held in (before, after))
        numbers = one.loc[one["n"] > 0, NUMBERS]
        now = other.loc[numbers.index, NUMBERS]
        pd.testing.assert_frame_equal(
            numbers, now, check_exact=True, check_index_type=False, check_dtype=False, obj=make.__name__
        )


@FEW
@given(NUMBER, NUMBER)
def test_every_cell_says_something_and_every_format_takes_it(synthetic, first, second):
    held = results(algorithm("mier", first, synthetic) + algorithm("a_b|*%", second, synthetic), synthetic)
    for name in ("main", "aggregates"):
        kind = tables.TABLES[name]
        table, columns = kind.make(held), kind.columns
        assert (table["text"].str.len() > 0).all()
        assert ((table["n"] > 0) == table["mean"].notna()).all()
        assert ((table["low"] <= table["high"]) | table["low"].isna()).all()
        is_inside = (table["low"] <= table["mean"]) & (table["mean"] <= table["high"])
        assert (is_inside | table["low"].isna()).all()
        assert not (table["best"] & table["tied"]).any()
        assert formats.markdown(formats.wide(table, columns), formats.marks(table, columns)).count("\n") == 4
        floats = latex_tables(kind, table, name, ANYWHERE)
        assert bool(floats) == (table["n"] > 0).any()
        for text in floats.values():
            assert text.count(r"\begin{") == text.count(r"\end{") >= 2
            assert sum(line.endswith(r" \\") for line in text.splitlines()) >= 2
