"""What the page says around the numbers."""

from reports.page import sections
from reports.reading.load import load

SPLITS = ("a.b", "c.d", "e.f")


def test_what_is_missing_is_said_once_for_task_lists_that_lack_the_same(tmp_path, synthetic):
    synthetic.rich_folder(tmp_path, ("mier", "grbal"), (0,), num_tasks=2)
    (hole,) = sections.holes(load(tmp_path))
    assert hole[:2] == ("GrBAL", f"{synthetic.SPLIT}, test and test_id")
    assert "not supported: rewards vary" in hole[2]


def test_all_splits_are_counted_and_some_are_named(tmp_path, synthetic):
    for variant, splits in (("mier", SPLITS), ("pearl", SPLITS[:2])):
        for split in splits:
            synthetic.simple_run(tmp_path, variant, 0, [[1.0]], split=split)
    results = load(tmp_path)
    assert [row[1].text for row in sections.variants(results).body] == ["all 3 splits", "a.b, c.d"]
    assert [where for _, where, _ in sections.configurations(results)] == ["all 3 splits", "a.b, c.d"]
