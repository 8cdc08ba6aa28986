"""Results of several experiments: pooled where measured alike, else apart under labels that name their folders."""

import pytest

from reports.numbers.tables import main_table
from reports.page import sections
from reports.reading.load import load
from suite.results.reference import SHIPPED


@pytest.fixture
def folders(tmp_path, synthetic):
    """A function (name, values, **document) -> folder of an experiment: MIER with a seed per value, and its grid."""

    def write(name, values, variant="mier", seeds=None, split=synthetic.SPLIT, **meta):
        folder = tmp_path / "results" / name
        cells = []
        for seed, value in zip(seeds or range(len(values)), values):
            run = f"{name}-{variant}-{split}-{seed}"
            synthetic.simple_run(folder, variant, seed, [[value]], split=split, run=run, **meta)
            cells.append((variant, split, seed, run, "done", None))
        synthetic.write_cells(folder, cells)
        return folder

    return write


def numbers(results):
    rows = main_table(results).query("n > 0 and task_list == 'test'").itertuples()
    return {(row.variant, row.split): (row.mean, row.n) for row in rows}


def test_seeds_that_two_experiments_measured_alike_are_pooled(folders, synthetic):
    root = folders("a", [1.0, 2.0]).parent
    folders("b", [3.0], seeds=[2])
    assert numbers(load(root)) == {("mier", synthetic.SPLIT): (2.0, 3)}


def test_other_protocols_make_columns_of_their_own_however_few_runs_follow_them(folders, synthetic):
    root = folders("many", [1.0, 2.0, 3.0]).parent
    protocol = synthetic.document()["protocol"] | {"evaluation_episodes": 9}
    folders("few", [50.0], variant="pearl", protocol=protocol, protocol_hash="q" * 12)
    results = load(root)
    assert results.problems == ()
    assert numbers(results) == {
        ("mier", f"{synthetic.SPLIT} [many]"): (2.0, 3), ("pearl", f"{synthetic.SPLIT} [few]"): (50.0, 1)
    }  # fmt: skip
    assert (
        f"{synthetic.SPLIT} was measured in 2 ways, which stand apart: evaluation_episodes 9 (few), 3 (many)."
        in results.notes
    )
    assert sections.holes(results) == []
    assert sections.undeclared(results) == "2 of 4 pairs of a variant and a split are in no experiment's grid."
    assert not main_table(results)["best"].any()  # nothing stands beside what it cannot be compared with


def test_other_budgets_and_settings_make_rows_of_their_own_on_every_split(folders, synthetic):
    root = folders("long", [5.0], budget_env_steps=2000).parent
    folders("long-too", [7.0], seeds=[1], budget_env_steps=2000)
    config = {"train": {"learning_rate": 0.5, "precision": "float32"}, "adapt": {"updates": 2000}}
    folders("short", [1.0], config=config)
    folders("long-elsewhere", [9.0], split="ant-goal.standard", budget_env_steps=3000)
    results = load(root)
    assert numbers(results) == {
        ("mier [long, long-elsewhere, long-too]", synthetic.SPLIT): (6.0, 2),
        ("mier [long, long-elsewhere, long-too]", "ant-goal.standard"): (9.0, 1),
        ("mier [short]", synthetic.SPLIT): (1.0, 1),
    }
    (note,) = [note for note in results.notes if "stand apart" in note]
    assert "budget 2,000 (long, long-elsewhere, long-too), 1,000 (short); train.learning_rate 0.001" in note


def test_cells_without_a_run_follow_their_folder(folders, synthetic):
    root = folders("many", [1.0, 2.0]).parent
    folder = folders("few", [50.0], protocol_hash="q" * 12)
    run = f"few-mier-{synthetic.SPLIT}-0"
    unsupported = ("grbal", synthetic.SPLIT, 0, None, "unsupported", "rewards vary")
    synthetic.write_cells(folder, [("mier", synthetic.SPLIT, 0, run, "done", None), unsupported])
    cells = load(root).cells.set_index("variant")
    assert cells.loc["grbal", "split"] == f"{synthetic.SPLIT} [few]"


def test_folders_of_one_name_are_told_apart(tmp_path, synthetic):
    roots = [tmp_path / name / "runs" for name in ("one", "two")]
    for number, root in enumerate(roots):
        synthetic.simple_run(root, "mier", 0, [[1.0]], run=f"r{number}", protocol_hash=f"{number}" * 12)
        synthetic.write_cells(root, [("mier", synthetic.SPLIT, 0, f"r{number}", "done", None)])
    assert set(load(roots).cells["split"]) == {f"{synthetic.SPLIT} [{name}/runs]" for name in ("one", "two")}


def test_all_shipped_tables_together_leave_nothing_out():
    results = load(SHIPPED)
    assert results.problems == ()
    assert {"mier", "mier-wr"} <= set(results.records["variant"])
    assert all(why.startswith("seed 0 not supported") for _, _, why in sections.holes(results))
