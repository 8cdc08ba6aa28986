from reports.numbers.contest import contest
from reports.page import heat
from reports.page.headline import headline
from reports.reading.load import load

SCALE = 400  # of the synthetic split: -500 is score 0, -100 is score 1


def runs(folder, synthetic, scores, splits=("a.b",)):
    """Variants with a score per seed on each of the splits."""
    for variant, values in scores.items():
        for split in splits:
            for seed, score in enumerate(values):
                training = f"t-{variant}-{split}-{seed}"
                synthetic.simple_run(folder, variant, seed, test=[[-500 + SCALE * score]], split=split,
                                     training=training)  # fmt: skip


def test_one_that_is_above_all_others_is_the_best(tmp_path, synthetic):
    runs(tmp_path, synthetic, {"mier": (0.70, 0.71, 0.72), "pearl": (0.3, 0.31, 0.32), "mql": (0.1, 0.11, 0.12)})
    (answer,) = headline(load(tmp_path))
    assert answer == (
        "Best out of distribution: MIER, mean score 0.710 [0.685, 0.735] (n = 3) on a.b; above all 2 others. "
        "All comparisons with the best together: 95%. With fewer than 5 seeds, this takes their scatter to be normal."
    )


def test_what_the_seeds_do_not_separate_is_not_decided(tmp_path, synthetic):
    scores = {"mier": (0.70, 0.71, 0.72), "pearl": (0.69, 0.71, 0.70), "mql": (0.1, 0.11, 0.12)}
    runs(tmp_path, synthetic, scores, splits=("a.b", "c.d"))
    (answer,) = headline(load(tmp_path))
    assert answer.startswith("Out of distribution: not decided between MIER, mean score 0.710 [0.")
    assert "(n = 3) over 2 splits, and PEARL, 0.700 [" in answer
    assert "; MIER is above MQL." in answer
    assert contest(load(tmp_path)).tied == ("pearl",)


def test_when_nothing_is_separated_no_one_is_named_the_best(tmp_path, synthetic):
    runs(tmp_path, synthetic, {"mier": (0.5, 0.9), "pearl": (0.4, 0.9), "mql": (0.3, 0.9)})
    (answer,) = headline(load(tmp_path))
    assert "not decided. MIER, mean score 0.70 [" in answer
    assert "is separated from none of the 2 others" in answer
    assert "Best" not in answer


def test_one_seed_decides_nothing(tmp_path, synthetic):
    runs(tmp_path, synthetic, {"mier": (0.9,), "pearl": (0.1,)})
    results = load(tmp_path)
    (answer,) = headline(results)
    assert answer == (
        "Out of distribution: not decided. MIER, mean score 0.900 (n = 1) on a.b, is the highest of 2 variants, but "
        "its seeds are too few to say whether that would repeat."
    )
    assert {cell.mark for _, _, cells in heat.heat_table(results).rows for cell in cells} == {""}


def test_a_variant_that_lacks_splits_is_not_ranked(tmp_path, synthetic):
    runs(tmp_path, synthetic, {"mier": (0.70, 0.71, 0.72), "pearl": (0.3, 0.31, 0.32)}, splits=("a.b", "c.d"))
    runs(tmp_path, synthetic, {"grbal": (0.9, 0.91, 0.92)}, splits=("c.d",))
    results = load(tmp_path)
    answer, rest = headline(results)
    assert answer.startswith("Best out of distribution: MIER")
    assert rest == "Not ranked over all splits: GrBAL (1 of 2 splits)."
    table = heat.heat_table(results)
    assert [name for name, _, _ in table.rows] == ["MIER", "PEARL", "GrBAL"]
    whole = {name: cell for name, cell, _ in table.rows}
    assert (whole["MIER"].mark, whole["MIER"].rank) == ("best", 1)
    assert whole["GrBAL"].text.endswith("(1 of 2 splits)")
    assert (whole["GrBAL"].mark, whole["GrBAL"].rank) == ("", 0)
    (_, _, (absent, best)) = table.rows[2]
    assert (absent.mark, absent.target) == ("absent", "")
    assert (best.text, best.rank, best.mark) == ("0.91", 1, "best")
    assert best.details.startswith("return -136.0 [")


def test_returns_serve_on_one_split_without_a_scale_and_several_have_no_answer(tmp_path, synthetic):
    for split in ("a.b", "c.d"):
        document = synthetic.document()["split"] | {"references": None, "full_name": split}
        for variant, up in (("mier", 100), ("pearl", 0)):
            for seed in (0, 1, 2):
                rows = [{"variant": variant, "split": split, "return": up + seed, "split_hash": "s" * 12}]
                metadata = synthetic.document(variant, seed, split)
                synthetic.write_run(tmp_path / split, rows, metadata | {"split": document})
    (answer,) = headline(load(tmp_path / "a.b"))
    assert answer.startswith("Best out of distribution: MIER, return 101.0 [98.5, 103.5] (n = 3) on a.b; above PEARL")
    answer, *each = headline(load(tmp_path))
    assert answer.startswith("Not decided: 2 splits")
    assert answer.endswith("The highest return on each:")
    *each, caution = each
    assert each == [f"{split}: MIER 101.0 [98.5, 103.5] (n = 3), above the other." for split in ("a.b", "c.d")]
    assert caution == "With fewer than 5 seeds, this takes their scatter to be normal."


def test_a_split_without_a_scale_is_said_not_to_count(tmp_path, synthetic):
    runs(tmp_path, synthetic, {"mier": (0.70, 0.71, 0.72), "pearl": (0.3, 0.31, 0.32)}, splits=("a.b", "c.d"))
    document = synthetic.document()["split"] | {"references": None, "full_name": "e.f"}
    rows = [{"variant": "mier", "split": "e.f", "return": 5.0}]
    synthetic.write_run(tmp_path, rows, synthetic.document("mier", 0, "e.f") | {"split": document})
    answer, rest = headline(load(tmp_path))
    assert "over 2 splits" in answer
    assert rest == "Without a score, and so not counted: e.f."


def test_many_that_are_not_separated_are_counted(tmp_path, synthetic):
    scores = {f"variant-{number}": (0.70 - 0.001 * number, 0.71, 0.72) for number in range(5)}
    runs(tmp_path, synthetic, scores | {"mql": (0.1, 0.11, 0.12)})
    (answer,) = headline(load(tmp_path))
    assert "not decided between variant-0, mean score 0.710 [" in answer
    assert ", and 4 more; variant-0 is above MQL." in answer


def test_without_scores_variants_stand_by_their_mean_rank(tmp_path, synthetic):
    for split in ("a.b", "c.d"):
        document = synthetic.document()["split"] | {"references": None, "full_name": split}
        for variant, value in (("mier", 0), ("pearl", 100), ("mql", 50)):
            rows = [{"variant": variant, "split": split, "return": value}]
            synthetic.write_run(tmp_path, rows, synthetic.document(variant, 0, split) | {"split": document})
    assert [name for name, _, _ in heat.heat_table(load(tmp_path)).rows] == ["PEARL", "MQL", "MIER"]


def test_no_result_and_no_rival(tmp_path, synthetic):
    synthetic.write_cells(tmp_path, [("mier", synthetic.SPLIT, 0, None, "failed", "killed")])
    assert headline(load(tmp_path)) == ["No result yet."]
    runs(tmp_path, synthetic, {"pearl": (0.3, 0.4)})
    assert "the only variant" in headline(load(tmp_path))[0]


def test_references_stand_last_and_are_never_the_best(tmp_path, synthetic):
    runs(tmp_path, synthetic, {"mier": (0.70, 0.71, 0.72), "pearl": (0.3, 0.31, 0.32), "oracle": (0.99,)})
    results = load(tmp_path)
    assert headline(results)[0].startswith("Best out of distribution: MIER")
    names = [name for name, _, _ in heat.heat_table(results).rows]
    assert names == ["MIER", "PEARL", "oracle (reference)"]


def test_seeds_are_listed_under_the_target_of_their_cell(golden, synthetic):
    results = load(golden)
    first, second = heat.seed_table(results, synthetic.SPLIT)
    target = heat.anchor(results, synthetic.SPLIT, "mier")
    assert first == (target, "MIER, test", ["0: 22.5", "1: 32.5", "2: 42.5"])
    assert second == ("", "MIER, test_id", ["0: 60.0", "1: 70.0", "2: 80.0"])
    ((_, _, (cell,)),) = heat.heat_table(results).rows
    assert cell.target == target


def test_where_nobody_has_every_split_the_highest_on_each_is_named_with_its_seeds(tmp_path, synthetic):
    for place, split in enumerate((synthetic.SPLIT, "cheetah-velocity.medium")):
        for number in range(4):
            for seed in (0, 1, 2)[: 3 - 2 * place]:
                variant = f"variant-{place}-{number}"
                synthetic.simple_run(tmp_path, variant, seed, [[-400.0 + 40 * number + seed]], split=split)
    why, first, second, caution, rest = headline(load(tmp_path))
    assert why == (
        "No variant has a result on all 2 splits, so that none is the best over all. The highest mean score on each:"
    )
    assert first == "cheetah-velocity.hard: variant-0-3 0.553 [0.546, 0.559] (n = 3), above all 3 others."
    assert second == (
        "cheetah-velocity.medium: variant-1-3 0.550 (n = 1), of 4 variants; seeds too few to tell them apart."
    )
    assert caution.startswith("With fewer than 5 seeds")
    assert rest == "Not ranked over all splits: 8 variants that have 1 of 2."


def test_variants_without_an_interval_are_not_counted_among_those_that_it_is_above(tmp_path, synthetic):
    runs(tmp_path, synthetic, {"mier": (0.70, 0.71, 0.72), "mql": (0.1,)})
    runs(tmp_path, synthetic, {"mier": (0.70, 0.71, 0.72), "mql": (0.1,), "pearl": (0.3, 0.31, 0.32)}, splits=("c.d",))
    for name, level in (("maml", 0.4), ("promp", 0.2), ("grbal", 0.1)):
        runs(tmp_path, synthetic, {name: (level, level + 0.01, level + 0.02)}, splits=("e.f",))
    runs(tmp_path, synthetic, {"rl2": (0.05,)}, splits=("e.f",))
    _, one, two, three, *_ = headline(load(tmp_path))
    assert one.endswith("(n = 3), of 2 variants; seeds too few to tell them apart.")
    assert two.endswith("(n = 3), above the only other compared; 1 without an interval not compared.")
    assert three.endswith("(n = 3), above all 2 others; 1 without an interval not compared.")


def test_seeds_at_a_ceiling_decide_nothing_and_five_seeds_need_no_caution(tmp_path, synthetic):
    runs(tmp_path / "alike", synthetic, {"mier": (1.0, 1.0), "pearl": (0.3, 0.31)})
    (answer,) = headline(load(tmp_path / "alike"))
    assert answer.endswith("but its seeds are too alike to say whether that would repeat.")
    many = {"mier": (0.7, 0.71, 0.72, 0.73, 0.74), "pearl": (0.3, 0.31, 0.32, 0.33, 0.34)}
    runs(tmp_path / "many", synthetic, many)
    (answer,) = headline(load(tmp_path / "many"))
    assert answer.endswith("above PEARL.")


def test_where_no_variant_has_every_split_there_is_no_column_over_all(tmp_path, synthetic):
    runs(tmp_path, synthetic, {"mier": (0.70, 0.71)}, splits=("a.b",))
    runs(tmp_path, synthetic, {"pearl": (0.3, 0.31)}, splits=("c.d",))
    rows = heat.heat_table(load(tmp_path)).rows
    assert [whole for _, whole, _ in rows] == [None, None]
    assert rows[0][2][1].text == "–"
    assert rows[0][2][1].details == "not in the grid"
