from reports.page import summary
from reports.reading.load import load


def test_one_seed_claims_nothing(tmp_path, synthetic):
    synthetic.simple_run(tmp_path, "mier", 0, test=[[-100.0]], test_id=[[-40.0]])
    synthetic.simple_run(tmp_path, "pearl", 0, test=[[-300.0]])
    text = " ".join(summary.verdict(load(tmp_path)))
    assert "MIER -100.0 (n = 1), PEARL -300.0 (n = 1)" in text
    assert "MIER minus PEARL is 200.0; with one seed this says nothing about whether it would repeat" in text
    assert "MIER's return is 60.0 lower on test than on test_id" in text
    assert "With one seed there is no interval" in text
    assert "excludes zero" not in text
    assert "signific" not in text


def test_several_seeds_are_compared_with_an_interval(golden, synthetic):
    for seed, value in enumerate((22.0, 30.0, 41.0)):
        synthetic.simple_run(golden, "pearl", seed, test=[[value]])
    text = " ".join(summary.verdict(load(golden)))
    assert "MIER minus PEARL is 1.5; the 95 % interval of that difference" in text
    assert "(Welch, seeds independent, n = 3), includes zero, so these seeds do not separate the two" in text
    assert "fewer than 5 seeds" in text


def test_variants_of_one_training_are_compared_in_pairs(tmp_path, synthetic):
    for seed, up in enumerate((0.0, 100.0, 200.0)):
        synthetic.simple_run(tmp_path, "mier", seed, test=[[up + 10 + seed]], training=f"t{seed}")
        synthetic.simple_run(tmp_path, "mier-wr", seed, test=[[up]], training=f"t{seed}")
    text = " ".join(summary.verdict(load(tmp_path)))
    # Differences 10, 11, 12: mean 11, half width 4.303 / sqrt(3); seeds apart they would say nothing.
    assert "MIER minus MIER-wR is 11.0; the 95 % interval of that difference, 8.5 to 13.5" in text
    assert "paired over shared meta-trainings, n = 3), excludes zero" in text


def test_one_shared_training_of_several_pairs_what_it_can(golden, synthetic):
    for seed, value in enumerate((22.0, 30.0, 41.0)):
        training = "t-mier-0" if seed == 0 else f"other-{seed}"
        synthetic.simple_run(golden, "pearl", seed, test=[[value]], training=training)
    text = " ".join(summary.verdict(load(golden)))
    assert "(paired over shared meta-trainings, n = 3)" in text


def test_coverage_counts_what_has_no_result(golden, synthetic):
    synthetic.write_cells(golden, [
        ("pearl", synthetic.SPLIT, 0, None, "failed", "killed"),
        ("grbal", synthetic.SPLIT, 0, None, "unsupported", "r"), ("mql", synthetic.SPLIT, 0, None, "killed", None),
    ])  # fmt: skip
    first = summary.verdict(load(golden))[0]
    assert first == (
        "4 variants on 1 split: 3 of 6 cells (variant x split x seed) have a result "
        "(1 failed, 1 killed, 1 not supported)."
    )


def test_a_grid_without_any_result_says_so(tmp_path, synthetic):
    synthetic.write_cells(tmp_path, [("mier", synthetic.SPLIT, 0, None, "pending", None)])
    text = summary.verdict(load(tmp_path))
    assert text[1] == f"{synthetic.SPLIT}: no result yet."
