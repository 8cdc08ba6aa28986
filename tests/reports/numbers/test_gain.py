"""Gains over unadapted twins, against numbers computed by hand."""

import math

import pytest
import typer
from typer.testing import CliRunner

from reports.cli import report
from reports.numbers import gain, tables
from reports.page.summary import verdict
from reports.reading.load import load

ADAPTS = {"kind": "adapts within the episode", "sentence": "from an empty memory"}
UNADAPTED = {"kind": "unadapted", "sentence": "nothing is learnt yet"}


@pytest.fixture
def variant(tmp_path, synthetic):
    """A function (name, seed, test, before, twin, kind) that writes a run, and its twin if returns of it are given."""

    def write(name, seed, test, before=None, twin=None, kind=ADAPTS, **meta):
        named = {"before": kind, "twin": f"twin-{name}-{seed}", "is_twin": False}
        shared = {"training": f"t-{name}-{seed}"}
        synthetic.simple_run(tmp_path, name, seed, test=test, before=before, **shared, **{"gain": named} | meta)
        if twin is not None:
            facts = named | {"is_twin": True}
            synthetic.simple_run(tmp_path, f"{name} unadapted", seed, test=twin, before=twin, run=named["twin"],
                                 algorithm=name, gain=facts, **shared)  # fmt: skip
        return tmp_path

    return write


def cells(folder):
    return {(row.variant, row.task_list): row for row in tables.gain_table(load(folder)).itertuples()}


def test_the_gain_is_over_the_twin_and_not_over_before_paired_by_task_and_seed(variant):
    # Seed 0: (10 + 20) / 2 - 5 = 10 and 30 - 10 = 20: 15. Seed 1: 25 - 5 = 20 and 50 - 15 = 35: 27.5.
    # Seed 2: 0 and 5: 2.5.
    variant("rl2", 0, [[10, 20], [30]], before=[[9], [29]], twin=[[5, 5], [10]])
    variant("rl2", 1, [[25], [50]], before=[[24], [49]], twin=[[5], [15]])
    folder = variant("rl2", 2, [[7], [8]], before=[[7], [8]], twin=[[7], [3]])
    table = gain.gains(load(folder)).set_index(["variant", "seed"])
    assert list(table.loc["rl2", "gain"]) == [15.0, 27.5, 2.5]
    assert list(table.loc["rl2", "unadapted"]) == [7.5, 10.0, 5.0]
    row = cells(folder)["rl2", "test"]
    # Mean 15, standard deviation 12.5, standard error 12.5 / sqrt(3), t(0.975, 2) = 4.303.
    assert (row.mean, row.n, row.before) == (15.0, 3, pytest.approx((19 + 36.5 + 7.5) / 3))
    assert (row.low, row.high) == pytest.approx((15 - 31.05, 15 + 31.05), abs=0.01)
    assert "paired" not in row.method  # one number per seed: Student's
    assert cells(folder)["rl2 unadapted", "test"].text == gain.IS_TWIN


def test_the_terminal_shows_gains_beside_returns_where_there_are_any(variant, synthetic, monkeypatch, one_figure):
    monkeypatch.setenv("COLUMNS", "200")
    folder = variant("rl2", 0, [[5.0]], before=[[4.0]], twin=[[1.0]])
    synthetic.simple_run(folder, "mql", 0, test=[[3.0]])
    app = typer.Typer()
    app.command()(report)
    lines = CliRunner().invoke(app, [str(folder)]).stdout.splitlines()
    (head,) = [line for line in lines if line.startswith("variant")]
    assert "gain over the twin, test" in head
    rows = {line.split()[0]: line for line in lines if line.startswith(("RL2 ", "MQL"))}
    assert "5.00, n = 1, no interval  4.00, n = 1, no interval" in rows["RL2"]
    assert rows["MQL"].rstrip().endswith("–")


def test_where_before_is_unadapted_it_is_the_twins_return_already(variant):
    folder = variant("mier", 0, [[10, 20], [30]], before=[[1, 3], [2]], kind=UNADAPTED)
    assert cells(folder)["mier", "test"].mean == (13 + 28) / 2
    assert "Gain from adaptation, over the unadapted twin in the same test tasks: MIER 20.5 (n = 1)." in (
        " ".join(verdict(load(folder)))
    )


def test_a_twin_that_was_run_counts_before_what_is_declared(variant):
    folder = variant("mier", 0, [[10.0]], before=[[2.0]], twin=[[3.0]], kind=UNADAPTED)
    assert cells(folder)["mier", "test"].mean == 7.0


def test_what_has_no_twin_says_why_and_how_to_get_one(variant, synthetic):
    folder = variant("rl2", 0, [[1.0]], before=[[0.0]])
    variant("pearl", 0, [[1.0]], before=[[0.0]], gain={"before": ADAPTS, "twin": None, "is_twin": False})
    synthetic.simple_run(folder, "mql", 0, test=[[1.0]], before=[[0.0]])
    text = {name: row.text for (name, _), row in cells(folder).items()}
    assert text == {
        "rl2": "seed 0 not defined: its unadapted twin was not run (`twin: true` beside the algorithm adds it)",
        "pearl": "seed 0 not defined: it never adapts",
        "mql": "seed 0 not defined: its records are older than twins",
    }
    assert "Gain" not in " ".join(verdict(load(folder)))


def test_a_twin_without_a_result_and_one_that_failed_are_told_apart(variant, synthetic):
    folder = variant("rl2", 0, [[1.0], [2.0]])
    synthetic.write_cells(folder, [
        ("rl2", synthetic.SPLIT, 0, f"rl2-{synthetic.SPLIT}-0", "done", None),
        ("rl2 unadapted", synthetic.SPLIT, 0, "twin-rl2-0", "pending", None),
    ])  # fmt: skip
    assert cells(folder)["rl2", "test"].text == f"seed 0 {gain.NO_RESULT}"
    variant("mql", 0, [[1.0], [2.0]], twin=[[math.nan], [0.0]])
    assert cells(folder)["mql", "test"].text == f"seed 0 {gain.NOT_A_NUMBER}"
    variant("maml", 0, [[1.0], [2.0]], twin=[[0.0]])  # a task of it is missing: nothing to pair with
    assert cells(folder)["maml", "test"].text == f"seed 0 {gain.NOT_A_NUMBER}"
    variant("promp", 0, [[math.nan], [2.0]], twin=[[0.0], [0.0]])
    assert "failed: a return is not a number in 1 of 2 tasks" in cells(folder)["promp", "test"].text


def test_seeds_whose_twin_was_not_run_are_missing_and_not_guessed(variant):
    variant("rl2", 0, [[5.0]], before=[[4.0]], twin=[[1.0]])
    folder = variant("rl2", 1, [[5.0]], before=[[4.0]])
    row = cells(folder)["rl2", "test"]
    assert (row.mean, row.n, row.declared) == (4.0, 1, 2)
    assert row.text.endswith("(seed 1 not defined: its unadapted twin was not run (`twin: true` beside the algorithm "
                             "adds it))")  # fmt: skip
