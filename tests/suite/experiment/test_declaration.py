"""Experiments as they are declared: the files of the paper, and what `--set` changes in a file."""

import pytest
from tests_support import GOOD, written

from suite.experiment.declaration import load_experiment
from suite.experiment.shipped import CONFIGS

PAPER = sorted((CONFIGS / "experiments" / "paper").glob("*.yaml"))


def test_the_files_of_the_paper_are_there():
    names = {path.stem for path in PAPER}
    assert {name[:8] for name in names} >= {"figure-2", "figure-4", "figure-6", "table-3-"}
    budgets = {path.stem: load_experiment(path).budget.env_steps for path in PAPER}
    assert budgets["figure-4-out-of-distribution"] == 1_500_000
    assert budgets["figure-4-ant-negated-joints"] == 2_500_000


@pytest.mark.parametrize(("override", "read"), [
    ("budget.env_steps=60000", lambda experiment: experiment.budget.env_steps == 60_000),
    ("seeds=[5, 6]", lambda experiment: experiment.seeds == (5, 6)),
    ("seeds.1=7", lambda experiment: experiment.seeds == (0, 7)),
    ("algorithms=[pearl]", lambda experiment: [c.variant for c in experiment.algorithms] == ["pearl"]),
    ("algorithms.mier.train.context_dim=9", lambda experiment: experiment.algorithms[0].train == {"context_dim": 9}),
    ("algorithms.plain.adapt={context_steps: 4}",
     lambda experiment: experiment.algorithms[1].adapt == {"context_steps": 4}),
    ("algorithms.mier-wr.preset=small", lambda experiment: experiment.algorithms[1].preset == "small"),
    ("algorithms.2.preset=null", lambda experiment: experiment.algorithms[2].preset is None),
    ("algorithms.0=pearl", lambda experiment: experiment.algorithms[0].name == "pearl"),
    ("protocol.task_lists=[test]", lambda experiment: experiment.protocol.task_lists == ("test",)),
    ("milestone_protocol.max_tasks=3", lambda experiment: experiment.milestone_protocol.max_tasks == 3),
    ("description=a = b", lambda experiment: experiment.description == "a = b"),
    ("device=cuda:1", lambda experiment: experiment.device == "cuda:1"),
])  # fmt: skip
def test_overrides(tmp_path, override, read):
    path = written(tmp_path, GOOD)
    assert not read(load_experiment(path))
    assert read(load_experiment(path, [override]))


def test_overrides_reach_what_the_file_leaves_empty(tmp_path):
    path = written(tmp_path, "name: x\nsplits: [point-goal.ood]\nalgorithms: [mier]\nbudget:\n")
    assert (
        load_experiment(path, ["budget.env_steps=2000", "axes.mier.train.context_dim=[1]"][:1]).budget.env_steps == 2000
    )
