import json
import shutil

import pytest
import typer
from typer.testing import CliRunner

from reports import cli
from reports.compare import COLUMNS, compare
from reports.numbers.intervals import PAIRED, WELCH
from reports.reading.load import load
from suite.errors import UserError


@pytest.fixture
def call(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    app = typer.Typer()
    app.command()(cli.compare)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def runs(folder, synthetic, up, seeds=(0, 1, 2), variant="mier", **given):
    """Seeds whose results are 22.5, 32.5, 42.5 (and so on), each higher by `up` of the seed."""
    for seed in seeds:
        start = 10 * seed + up(seed)
        synthetic.simple_run(folder, variant, seed, test=[[10 + start, 20 + start], [30 + start]], **given)
    return folder


def one(first, second):
    (row,) = compare(load(first), load(second), "other").itertuples(index=False)
    return row


def test_shared_meta_trainings_are_paired_and_a_small_sure_gain_is_better(tmp_path, synthetic):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 1 + 0.1 * seed)
    theirs = runs(tmp_path / "theirs", synthetic, lambda seed: 0)
    found = one(mine, theirs)
    assert (found.verdict, found.method, found.n, found.regressed) == ("better", PAIRED, 3, False)
    assert found.mean == pytest.approx(1.1)
    assert found.high - found.mean == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)
    assert (found.first, found.second) == (pytest.approx(33.6), 32.5)
    assert found.text == "better: 1.10 [0.85, 1.35], n = 3"
    back = one(theirs, mine)
    assert (back.verdict, back.mean, back.regressed) == ("worse", pytest.approx(-1.1), True)


def test_the_same_numbers_from_other_meta_trainings_show_no_difference(tmp_path, synthetic):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 1 + 0.1 * seed)
    theirs = tmp_path / "theirs"
    for seed in (0, 1, 2):
        start = 10 * seed
        synthetic.simple_run(theirs, "mier", seed, test=[[10 + start, 20 + start], [30 + start]], training=f"u{seed}")
    found = one(mine, theirs)
    assert (found.verdict, found.method) == ("no difference shown", WELCH)
    assert found.low < 0 < found.high


def test_other_protocols_and_task_lists_are_not_comparable_and_it_says_which(tmp_path, synthetic):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 0)
    theirs = runs(tmp_path / "theirs", synthetic, lambda seed: 5, protocol_hash="q" * 12)
    found = one(mine, theirs)
    assert (found.verdict, found.n, found.regressed) == ("not comparable", 0, False)
    assert found.why == "different protocols: pppppppppppp here, qqqqqqqqqqqq there"
    split = synthetic.document()["split"] | {"hash": "z" * 12}
    for seed in (0, 1):
        synthetic.simple_run(tmp_path / "lists", "mier", seed, test=[[1.0]], **{"split": synthetic.SPLIT})
        document = synthetic.document("mier", seed) | {"split": split}
        synthetic.write_run(tmp_path / "lists", [{"split_hash": "z" * 12, "return": 5.0}], document)
    assert "different task lists: ssssssssssss here, zzzzzzzzzzzz there" in one(mine, tmp_path / "lists").why


def test_only_tasks_that_both_have_tested_count(tmp_path, synthetic):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 0)
    theirs = tmp_path / "theirs"
    for seed in (0, 1, 2):
        synthetic.simple_run(theirs, "mier", seed, test=[[13.9 + 10.1 * seed]])
    found = one(mine, theirs)
    assert (found.mean, found.verdict) == (pytest.approx(1.0), "better")  # 15, 25, 35 against 13.9, 24, 34.1
    assert found.why == "over the 1 tasks that both have tested"


def test_what_may_differ_is_said(tmp_path, synthetic):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 0)
    config = {"train": {"learning_rate": 0.5, "precision": "float32"}, "adapt": {"updates": 2000}}
    theirs = runs(tmp_path / "theirs", synthetic, lambda seed: 0, config=config, budget_env_steps=9)
    found = one(mine, theirs)
    assert (
        found.why
        == "no interval: no seed changes it; budgets differ: 1000 and 9 env steps; settings differ: train.learning_rate"
    )


def test_a_failure_where_the_other_has_a_result_is_a_regression(tmp_path, synthetic):
    mine, theirs = tmp_path / "mine", runs(tmp_path / "theirs", synthetic, lambda seed: 0)
    synthetic.write_cells(mine, [("mier", synthetic.SPLIT, 0, None, "failed", "diverged")])
    found = one(mine, theirs)
    assert (found.verdict, found.why, found.regressed) == ("missing", "first: seed 0 failed: diverged", True)
    synthetic.write_cells(mine, [("mier", synthetic.SPLIT, 0, None, "pending", None)])
    assert not one(mine, theirs).regressed
    assert not one(theirs, mine).regressed
    runs(mine, synthetic, lambda seed: float("nan"))
    assert one(mine, theirs).regressed
    assert not one(mine, mine).regressed  # none of the two has a result


def test_one_seed_shows_nothing(tmp_path, synthetic):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 500, seeds=[0])
    found = one(mine, runs(tmp_path / "theirs", synthetic, lambda seed: 0, seeds=[0]))
    assert (found.verdict, found.mean, found.regressed) == ("no difference shown", 500.0, False)
    assert found.why == "one seed shows no difference"


def test_the_command_prints_a_verdict_per_cell_and_fails_on_a_regression_if_asked(tmp_path, synthetic, call):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 0, test_id=[[1.0]])
    theirs = runs(tmp_path / "theirs", synthetic, lambda seed: 100 + 0.1 * seed)
    result = call(mine, theirs)
    assert result.exit_code == 0
    assert "worse: -100.1 [-100.3, -99.9], n = 3" in result.stdout
    assert "missing (second: not in it)" in result.stdout  # test_id
    assert "2 cells: 1 worse, 1 missing." in result.stdout
    assert "fewer than 5 seeds" in result.stdout
    assert call(mine, theirs, "--fail-on-regression").exit_code == 1
    assert call(theirs, mine, "--fail-on-regression").exit_code == 0
    assert call(mine, mine, "--fail-on-regression").exit_code == 0


def against(first, second, variant):
    rows = compare(load(first), load(second), "other", variant).itertuples(index=False)
    return {row.variant: row for row in rows}


def test_every_variant_is_judged_by_one_of_another_algorithm_paired_where_trainings_are_shared(tmp_path, synthetic):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 1 + 0.1 * seed, training="shared")
    for seed in (0, 1, 2):
        synthetic.simple_run(mine, "null", seed, test=[[0.0]])
        synthetic.simple_run(mine, "mier-wr", seed, test=[[10.0 + 10 * seed, 20 + 10 * seed], [30 + 10 * seed]],
                             training=f"t-mier-{seed}")  # fmt: skip
        synthetic.simple_run(mine, "pearl", seed, test=[[-100.0 + seed]], run=f"pearl-{seed}")
    folder = tmp_path / "paired"
    for seed in (0, 1, 2):
        start = 10 * seed + 1 + 0.1 * seed
        synthetic.simple_run(folder, "mier", seed, test=[[10 + start, 20 + start], [30 + start]])
    found = against(folder, mine, "mier-wr")
    assert set(found) == {"mier"}
    assert (found["mier"].verdict, found["mier"].method, found["mier"].n) == ("better", PAIRED, 3)
    assert found["mier"].mean == pytest.approx(1.1)
    results = load(mine)
    rows = compare(results, results, "mier-wr", "mier-wr")
    assert set(rows["variant"]) == {"mier", "pearl"}  # neither itself nor a reference
    (pearl,) = rows[rows["variant"] == "pearl"].itertuples()
    assert (pearl.verdict, pearl.method) == ("worse", WELCH)
    assert "settings" not in pearl.why


def test_of_two_folders_with_an_algorithm_each_one_is_judged_by_the_other(tmp_path, synthetic, call):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 100 + 0.1 * seed)
    theirs = runs(tmp_path / "theirs", synthetic, lambda seed: 0, variant="pearl")
    result = call(mine, theirs)
    assert "better: 100." in result.stdout
    assert "missing" not in result.stdout
    runs(theirs, synthetic, lambda seed: 0, variant="mql")
    assert "name it: --against VARIANT, of pearl, mql." in call(mine, theirs).stdout
    assert "better: 100." in call(mine, theirs, "--against", "mql").stdout
    assert "better: 100." in call(mine, "--against", f"{theirs}:pearl").stdout


def test_protocols_that_differ_are_told_in_words(tmp_path, synthetic):
    mine = runs(tmp_path / "mine", synthetic, lambda seed: 0)
    protocol = synthetic.document()["protocol"] | {"evaluation_episodes": 9}
    theirs = runs(tmp_path / "theirs", synthetic, lambda seed: 5, protocol_hash="q" * 12, protocol=protocol)
    assert one(mine, theirs).why.endswith("qqqqqqqqqqqq there (evaluation_episodes 3 (here), 9 (there))")


def test_several_others_json_and_files(tmp_path, synthetic, call):
    golden = runs(tmp_path / "mine", synthetic, lambda seed: 0)
    for seed in (0, 1):
        shutil.copytree(golden / f"t-mier-{seed}", tmp_path / "copy" / f"t-mier-{seed}")
    document = json.loads(call(golden, tmp_path / "copy", golden, "--json").stdout)
    assert [cell["verdict"] for cell in document["cells"]] == ["no difference shown"] * 2
    assert set(document["cells"][0]) == set(COLUMNS)
    for ending, part in ((".csv", "verdict"), (".md", "| MIER |"), (".tex", "\\toprule")):
        assert call(golden, tmp_path / "copy", "--out", tmp_path / f"table{ending}").exit_code == 0
        assert part in (tmp_path / f"table{ending}").read_text()
    for ending, first_bytes in ((".pdf", b"%PDF"), (".png", b"\x89PNG")):
        assert call(golden, tmp_path / "copy", "--out", tmp_path / f"plot{ending}").exit_code == 0
        assert (tmp_path / f"plot{ending}").read_bytes().startswith(first_bytes)
    assert isinstance(call(golden, golden, "--out", tmp_path / "table.doc").exception, UserError)


def test_users_mistakes(tmp_path, synthetic, call):
    golden = runs(tmp_path / "mine", synthetic, lambda seed: 0)
    assert "two or more" in str(call(golden).exception)
    assert isinstance(call(golden, tmp_path / "nowhere").exception, UserError)
    theirs = runs(tmp_path / "theirs", synthetic, lambda seed: 5, protocol_hash="q" * 12)
    refused = call(golden, theirs, "--fail-on-regression")
    assert isinstance(refused.exception, UserError)
    assert "no cell could be compared" in str(refused.exception)
