import csv
import math

import numpy as np
import pytest

from reports import formats
from reports.numbers import tables
from reports.reading.load import load


def by_cell(table):
    return {(row.variant, row.split, row.task_list): row for row in table.itertuples()}


def test_the_golden_table(golden, synthetic):
    # Seeds 22.5, 32.5, 42.5: standard error 10 / sqrt(3), t(0.975, 2) = 4.303.
    cells = by_cell(tables.main_table(load(golden)))
    cell = cells["mier", synthetic.SPLIT, "test"]
    assert (cell.mean, cell.n, cell.declared, cell.missing) == (32.5, 3, 3, "")
    assert (cell.low, cell.high) == pytest.approx((32.5 - 24.84, 32.5 + 24.84), abs=0.01)
    assert cell.text == "32.5 [7.7, 57.3], n = 3"
    assert cells["mier", synthetic.SPLIT, "test_id"].mean == 70.0


def test_the_golden_gap_and_score(golden, synthetic):
    results = load(golden)
    gap = by_cell(tables.gap_table(results))["mier", synthetic.SPLIT, "test_id - test"]
    assert (gap.mean, gap.n, gap.text) == (37.5, 3, "37.5, n = 3, no interval: no seed changes it")
    (score,) = tables.score_table(results).itertuples()
    assert score.mean == pytest.approx((32.5 + 500) / 400)
    assert (score.task_list, score.n) == ("test", 3)


def test_a_split_without_a_declared_best_has_no_score(tmp_path, synthetic):
    split = synthetic.document()["split"] | {"references": {"null": -500.0, "ceiling": None}}
    synthetic.simple_run(tmp_path, "mier", 0, test=[[1.0]])
    path = synthetic.write_run(tmp_path, [{"return": 1.0}], synthetic.document() | {"split": split})
    assert path.exists()
    assert tables.score_table(load(tmp_path)).empty


def test_one_seed_says_that_it_has_no_interval(tmp_path, synthetic):
    synthetic.simple_run(tmp_path, "mier", 0, test=[[-1234.0]])
    cells = by_cell(tables.main_table(load(tmp_path)))
    assert cells["mier", synthetic.SPLIT, "test"].text == "-1234, n = 1, no interval"


def test_every_cell_is_a_number_a_failure_or_a_reason(golden, synthetic):
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0], [math.nan]])
    synthetic.simple_run(golden, "pearl", 1, test=[[1.0], [3.0]])
    split = synthetic.SPLIT
    synthetic.write_cells(golden, [
        *(("mier", split, seed, f"mier-{split}-{seed}", "done", None) for seed in (0, 1, 2)),
        ("mier", split, 3, None, "pending", None), ("mier", split, 4, "r", "running", "at 10 % of its budget"),
        ("pearl", split, 0, f"pearl-{split}-0", "done", None), ("pearl", split, 1, f"pearl-{split}-1", "done", None),
        ("grbal", split, 0, None, "unsupported", "rewards vary"),
        ("grbal", split, 1, None, "unsupported", "rewards vary"),
        ("maml", "ant-goal.standard", 0, None, "failed", "killed"),
    ])  # fmt: skip
    wide = formats.wide(tables.main_table(load(golden)), tables.CELL[1:])
    test = wide[f"{split} test"]
    assert test["MIER"] == "32.5 [7.7, 57.3], n = 3 of 5 (seed 3 pending; seed 4 running: at 10 % of its budget)"
    assert test["PEARL"] == ("2.00, n = 1 of 2, no interval (seed 0 failed: a return is not a number in 1 of 2 tasks)")
    assert test["GrBAL"] == "not supported: rewards vary"
    assert test["MAML"] == "not in the grid"
    assert wide["ant-goal.standard test"]["MAML"] == "seed 0 failed: killed"
    assert wide[f"{split} test_id"]["PEARL"] == "no number for test_id"
    assert (wide != "").all(axis=None)


def test_adding_an_algorithm_changes_no_others_numbers(golden, synthetic):
    before = {key: row[4:8] for key, row in by_cell(tables.main_table(load(golden))).items()}
    synthetic.simple_run(golden, "aaa", 0, test=[[1e9], [0.0], [-5.0]], test_id=[[1e9]], before=[[7.0]])
    synthetic.simple_run(golden, "zzz", 7, test=[[1e9]])
    after = by_cell(tables.main_table(load(golden)))
    assert before
    assert {key: after[key][4:8] for key in before} == before


def test_rows_are_in_the_fixed_order_of_algorithms(golden, synthetic):
    for variant in ("zzz", "pearl", "aaa", "mier-wr"):
        synthetic.simple_run(golden, variant, 0, test=[[1.0]])
    assert list(formats.wide(tables.main_table(load(golden)), tables.CELL[1:]).index) == [
        "MIER",
        "MIER-wR",
        "PEARL",
        "aaa",
        "zzz",
    ]


def test_markdown_escapes_what_would_break_the_table(golden, synthetic):
    synthetic.simple_run(golden, "a|b\n<i>", 0, test=[[1.0]])
    text = formats.markdown(formats.wide(tables.main_table(load(golden)), tables.CELL[1:]))
    lines = text.splitlines()
    assert lines[0] == f"| variant | {synthetic.SPLIT} test | {synthetic.SPLIT} test_id |"
    assert lines[-1].startswith("| a\\|b &lt;i> | 1.00, n = 1")
    assert len(lines) == 4


def test_the_gate_table_by_hand(tmp_path, synthetic):
    rows = []
    for task, (start, end) in enumerate([(0.0, 10.0), (0.0, 30.0), (5.0, 1.0)]):
        rows += [
            {"task": task, "phase": "during", "update": 0, "return": start},
            {"task": task, "phase": "after", "update": 9, "return": end},
        ]
    metadata = synthetic.document()
    path = synthetic.write_run(tmp_path, rows, metadata)
    synthetic.write_gate(path, metadata["run"], losses=[-5.0, -4.0, 1.0], threshold=-3.0)
    (row,) = tables.gate_table(load(tmp_path)).itertuples()
    assert (row.tasks, row.open, row.gain_open, row.gain_closed) == (3, pytest.approx(2 / 3), 20.0, -4.0)
    assert row.baseline == "before the first update"


def test_diagnostics_of_a_task_without_returns_are_no_row_of_the_gate_table(tmp_path, synthetic):
    metadata = synthetic.document()
    rows = [{"phase": "before", "return": -10.0}, {"phase": "after", "update": 5, "return": 1.0}]
    path = synthetic.write_run(tmp_path, rows, metadata)
    synthetic.write_gate(path, metadata["run"], losses=[-5.0, -4.0], threshold=-3.0)
    (row,) = tables.gate_table(load(tmp_path)).itertuples()
    assert (row.tasks, row.gain_open, row.baseline) == (1, 11.0, "before adaptation")


def test_the_run_table_shows_provenance_and_leaves_unknown_fields_empty(tmp_path, synthetic):
    synthetic.simple_run(tmp_path, "mier", 0, test=[[1.0]])
    bare = {"run": "bare", "training": "t", "variant": "pearl", "seed": 0, "algorithm": "pearl"}
    synthetic.write_run(tmp_path, [{"variant": "pearl", "return": 1.0}], bare)
    runs = tables.run_table(load(tmp_path)).set_index("variant")
    assert runs.loc["mier", "git_revision"] == "0123456789abcdef"
    assert runs.loc["mier", "train_wall_seconds"] == 5400.0
    assert runs.loc["pearl", "git_revision"] is None


def test_csv_numbers_have_ten_digits(tmp_path, golden):
    table = tables.main_table(load(golden))
    formats.write_csv(table, tmp_path / "t.csv")
    row = next(csv.reader((tmp_path / "t.csv").read_text().splitlines()[1:]))
    assert row[:4] == ["mier", "cheetah-velocity.hard", "test", "32.5"]
    assert row[6:] == ["3", "Student's t over seeds", "3", "", "32.5 [7.7, 57.3], n = 3", "False", "False"]
    for text, value in zip(row[4:6], (7.6586228825, 57.34137712)):  # whose last digit is scipy's to decide
        assert len(text.replace(".", "")) == 10
        assert float(text) == pytest.approx(value, rel=1e-9)


def marks(table):
    return {row.variant: (row.best, row.tied) for row in table.itertuples() if row.task_list == "test"}


def test_the_best_is_marked_and_what_seeds_do_not_tell_from_it(tmp_path, synthetic):
    for seed, up in enumerate((0.0, 10.0, 20.0)):
        synthetic.simple_run(tmp_path, "mier", seed, test=[[-300 + up]])
        # Lower in every seed of the same meta-training: a sure difference, though the intervals overlap.
        synthetic.simple_run(tmp_path, "mier-wr", seed, test=[[-301 + up + 0.1 * seed]], training=f"t-mier-{seed}")
        synthetic.simple_run(tmp_path, "pearl", seed, test=[[-301 + up + 0.1 * seed]])
        synthetic.simple_run(tmp_path, "mql", seed, test=[[-500 + up]])
    synthetic.simple_run(tmp_path, "maml", 0, test=[[-400.0]])
    synthetic.simple_run(tmp_path, "null", 0, test=[[1000.0]])
    synthetic.simple_run(tmp_path, "promp", 0, test=[[math.nan]])
    nothing = (False, False)
    assert marks(tables.main_table(load(tmp_path))) == {
        "mier": (True, False), "mier-wr": nothing, "pearl": (False, True), "mql": nothing,
        "maml": nothing,  # one seed tells nothing
        "null (reference)": nothing, "promp": nothing,
    }  # fmt: skip
    aggregates = tables.aggregate_table(load(tmp_path))
    means = aggregates[aggregates["statistic"] == "IQM"].assign(task_list="test")
    assert marks(means)["mier"] == (True, False)
    assert marks(means)["mier-wr"] == marks(means)["mql"] == nothing
    assert marks(means)["pearl"] == (False, True)
    gaps = aggregates[aggregates["statistic"] == "optimality gap"].set_index("variant")
    assert gaps.index[gaps["best"]].tolist() == ["mier"]  # the smallest
    assert not gaps.loc["mql", "tied"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_the_highest_has_no_interval_none_is_the_best(tmp_path, synthetic, seeds):
    """Neither one seed nor several that are alike set it off, and no lower one is the best in its place."""
    for seed in range(seeds):
        synthetic.simple_run(tmp_path, "mql", seed, test=[[-100.0]])
    for name, level in (("mier", -200), ("pearl", -300)):
        for seed in (0, 1, 2):
            synthetic.simple_run(tmp_path, name, seed, test=[[level + seed]])
    results = load(tmp_path)
    for table in (tables.main_table(results), tables.score_table(results), tables.aggregate_table(results)):
        assert not table["best"].any()
        assert not table["tied"].any()
        texts = table.loc[table["variant"] == "mql", "text"]
        assert texts.str.endswith("no interval" if seeds == 1 else "no interval: no seed changes it").all()


def test_the_golden_aggregates(golden, synthetic):
    # Scores (return + 500) / 400 of tasks 15, 25, 35 and 30, 40, 50: all above the target.
    table = tables.aggregate_table(load(golden)).set_index("statistic")
    scores = np.array([[515, 530], [525, 540], [535, 550]]) / 400
    assert table.loc["mean", "mean"] == pytest.approx(scores.mean())
    assert table.loc["median", "mean"] == pytest.approx(np.median(scores.mean(axis=0)))
    assert table.loc["IQM", "mean"] == pytest.approx((0.5 * 525 + 530 + 535 + 0.5 * 540) / 3 / 400)
    assert table.loc["optimality gap", "mean"] == 0
    # Seeds 522.5, 532.5, 542.5 over 400: t(0.975, 2) x standard error.
    assert table.loc["mean", "high"] == pytest.approx((532.5 + 4.303 * 10 / 3**0.5) / 400, rel=1e-4)
    assert set(table["split"]) == {synthetic.SPLIT}
    assert set(table["text"].str.contains("n = 3")) == {True}


def test_over_all_splits_a_variant_that_lacks_one_is_no_candidate_and_says_so(tmp_path, synthetic):
    for seed in (0, 1):
        for split in ("a.b", "c.d"):
            synthetic.simple_run(tmp_path, "mier", seed, test=[[1.0 + seed]], split=split)
            synthetic.simple_run(tmp_path, "mql", seed, test=[[0.0 - seed]], split=split)
        synthetic.simple_run(tmp_path, "pearl", seed, test=[[500.0 + seed]], split="a.b")
    synthetic.write_cells(tmp_path, [("grbal", "a.b", 0, None, "unsupported", "rewards vary")])
    table = tables.aggregate_table(load(tmp_path))
    means = table[table["statistic"] == "mean"].set_index(["variant", "split"])
    assert means.loc[("pearl", "a.b"), "best"]
    assert means.loc[("pearl", "all splits"), "text"].endswith("n = 2 (over 1 of 2 splits)")
    assert not means.loc[("pearl", "all splits"), "best"]
    assert means.loc[("mier", "all splits"), "best"]
    assert means.loc[("grbal", "a.b"), "text"] == "seed 0 not supported: rewards vary"
    assert means.loc[("grbal", "c.d"), "text"] == "not in the grid"
    assert means.loc[("grbal", "all splits"), "text"] == "no score on any split"


def test_a_folder_of_failures_has_tables_that_say_so(tmp_path, synthetic):
    synthetic.write_cells(tmp_path, [("mier", synthetic.SPLIT, seed, None, "failed", "killed") for seed in (0, 1)])
    results = load(tmp_path)
    assert list(tables.main_table(results)["text"]) == ["failed: killed"]
    for make in (tables.score_table, tables.aggregate_table, tables.improvement_table):
        assert make(results).empty
