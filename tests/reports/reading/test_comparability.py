from reports.numbers.tables import main_table
from reports.page.summary import verdict
from reports.reading.load import load


def numbers(results):
    table = main_table(results)
    return {
        (row.variant, row.split): (row.mean, row.n) for row in table.itertuples() if row.n and row.task_list == "test"
    }


def left_out(folder):
    return {problem.where: problem.why for problem in load(folder).problems}


def test_of_different_protocols_the_most_frequent_is_kept_and_both_are_named(golden, synthetic):
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0]], protocol_hash="q" * 12)
    assert left_out(golden) == {
        f"run pearl-{synthetic.SPLIT}-0": f"{synthetic.SPLIT}: results follow 2 different protocols: pppppppppppp, "
        "qqqqqqqqqqqq; kept: protocol pppppp (--mix shows both)"
    }
    results = load(golden)
    assert numbers(results) == {("mier", synthetic.SPLIT): (32.5, 3)}
    cells = results.cells.set_index("variant")
    assert "pearl" not in cells.index


def test_a_declared_cell_says_why_its_run_was_left_out(golden, synthetic):
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0]], protocol_hash="q" * 12)
    synthetic.write_cells(golden, [("pearl", synthetic.SPLIT, 0, f"pearl-{synthetic.SPLIT}-0", "done", None)])
    results = load(golden)
    cell = results.cells.set_index("variant").loc["pearl"]
    assert (cell["status"], cell["reason"]) == ("left out", "protocol qqqqqq, others protocol pppppp")
    assert verdict(results)[0].endswith("3 of 4 cells (variant x split x seed) have a result (1 left out).")


def test_on_request_protocols_stand_side_by_side_and_are_not_averaged(golden, synthetic):
    synthetic.simple_run(golden, "mier", 3, test=[[1000.0]], protocol_hash="q" * 12)
    results = load(golden, mix=True)
    assert numbers(results) == {
        ("mier [protocol pppppp]", synthetic.SPLIT): (32.5, 3),
        ("mier [protocol qqqqqq]", synthetic.SPLIT): (1000.0, 1),
    }
    assert any("Mixed on request" in note for note in results.notes)


def test_one_split_with_different_task_lists_is_separated(golden, synthetic):
    split = synthetic.document()["split"] | {"hash": "z" * 12}
    other = synthetic.document("mql", 0)
    synthetic.write_run(golden, [{"variant": "mql", "split_hash": "z" * 12, "return": 5.0}], other | {"split": split})
    (why,) = left_out(golden).values()
    assert "2 different sets of task lists: ssssssssssss, zzzzzzzzzzzz; kept: lists ssssss" in why
    found = numbers(load(golden, mix=True))
    assert found["mql", f"{synthetic.SPLIT} [lists zzzzzz]"] == (5.0, 1)
    assert found["mier", f"{synthetic.SPLIT} [lists ssssss]"][1] == 3


def test_a_lighter_protocol_of_checkpoints_on_the_way_is_no_mix(golden, synthetic):
    rows = [{"is_final": False, "env_steps": 10, "protocol_hash": "light", "return": 1.0}]
    synthetic.write_run(golden, rows, synthetic.document(run="on-the-way"))
    assert len(load(golden).records) == 25


def test_seeds_of_one_variant_must_share_budget_and_configuration(golden, synthetic):
    synthetic.simple_run(golden, "mier", 3, test=[[1.0]], budget_env_steps=2000)
    (why,) = left_out(golden).values()
    assert f"mier on {synthetic.SPLIT}: budgets of 1000 and 2000 env steps; kept: budget 1000" in why
    assert {row[0] for row in numbers(load(golden, mix=True))} == {"mier [budget 1000]", "mier [budget 2000]"}


def test_a_differing_setting_is_named(golden, synthetic):
    config = {"train": {"learning_rate": 0.5}, "adapt": {"updates": 2000}, "seed": 3}
    synthetic.simple_run(golden, "mier", 3, test=[[1.0]], config=config)
    (why,) = left_out(golden).values()
    assert "2 configurations, which differ in train.learning_rate, train.precision; kept: configuration" in why
    assert len(numbers(load(golden, mix=True))) == 2


def test_of_two_results_for_one_seed_one_is_kept_and_they_are_never_averaged(golden, synthetic):
    synthetic.simple_run(golden, "mier", 0, test=[[1000.0]], run="again")
    assert "more than one result for seed 0 (runs again, mier-" in left_out(golden)[f"run mier-{synthetic.SPLIT}-0"]
    assert numbers(load(golden))["mier", synthetic.SPLIT][1] == 3
    assert numbers(load(golden, mix=True))["mier [run again]", synthetic.SPLIT] == (1000.0, 1)


def test_what_may_be_mixed_is_said(golden, synthetic):
    provenance = synthetic.document()["provenance"]
    changed = provenance | {"git_dirty": True, "versions": {"mujoco": "5.0.0", "torch": "2.13.0"}}
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0]], provenance=changed, budget_env_steps=7)
    notes = " ".join(load(golden).notes)
    assert "different mujoco versions: 4.0.0, 5.0.0" in notes
    assert "1 of 4 runs were made from a working tree with uncommitted changes" in notes
    assert f"Training budgets differ on {synthetic.SPLIT} (env steps): MIER 1,000, PEARL 7." in notes
    assert "torch" not in notes
    assert "between 1 and 2 tasks" in notes  # the new run has one test task, the others have two


def test_splits_may_have_protocols_of_their_own(golden, synthetic):
    synthetic.simple_run(golden, "mier", 0, test=[[1.0]], split="ant-goal.standard", protocol_hash="q" * 12)
    assert numbers(load(golden))["mier", "ant-goal.standard"] == (1.0, 1)


def test_different_precisions_are_said(golden, synthetic):
    config = {"train": {"learning_rate": 0.001, "precision": "bf16"}}
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0], [1.0]], config=config)
    assert load(golden).notes == ("The runs have different precisions: bf16, float32.",)


def test_runs_of_one_variant_that_different_code_made_are_named(golden, synthetic):
    made = {"algorithms.pearl": "a", "algorithms.kit.replay": "b"}
    other = made | {"algorithms.kit.replay": "c"}

    def provenance(modules, earlier=()):
        code = {"code": {"digest": "d", "modules": modules}}
        return synthetic.document()["provenance"] | code | {"earlier": list(earlier)}

    synthetic.simple_run(golden, "pearl", 0, test=[[1.0]], provenance=provenance(made))
    synthetic.simple_run(golden, "pearl", 1, test=[[1.0]], provenance=provenance(made))
    assert not any("different code" in note for note in load(golden).notes)
    synthetic.simple_run(golden, "pearl", 2, test=[[1.0]], provenance=provenance(other))
    synthetic.simple_run(golden, "mql", 0, test=[[1.0]], provenance=provenance(made, [{"code": {"modules": other}}, 3]))
    told = [note for note in load(golden).notes if "different code" in note]
    assert [note.partition(" (")[0] for note in told] == [
        "Runs of mql were made by different code", "Runs of pearl were made by different code",
    ]  # fmt: skip
    assert "(algorithms.kit.replay); `offmap run ... --rerun` makes them again." in told[0]
