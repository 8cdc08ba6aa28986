"""What commands take that learn nothing: each is measured on a folder that has something for it to look at."""

import sys

import pytest

from suite.bench import commands
from suite.bench.measurement import offmap, spent
from suite.executors.launch import left_to_do
from suite.experiment.declaration import Experiment
from suite.results.clean import leftovers
from suite.results.layout import pending
from suite.results.prepare import prepare


def test_every_limit_holds():
    figures = {figure.name: figure for figure in commands.commands_figures(rounds=1)}
    most = {"MB": 1.0, "s": 2.0}  # measured but once, beside other tests; torch would make it four times the limit
    assert {name: figure.ratio for name, figure in figures.items() if figure.ratio > most[figure.unit]} == {}
    measured = [f"offmap {verb}" for verb in ("status", "cancel", "resume", "collect", "clean")] + ["Slurm job"]
    assert set(figures) == {"offmap --help", *measured, *(f"memory, {name}" for name in measured)}
    assert {figures[name].unit for name in measured} == {"s"}
    ratio = figures["offmap --help"].reference / figures["offmap status"].reference
    assert ratio == pytest.approx(0.5)  # both follow the product rate
    assert [figures[f"memory, {name}"].reference for name in measured] == [70, 70, 70, 110, 70, 70]


def test_the_folder_they_are_measured_on(tmp_path):
    folders = prepare(Experiment.model_validate(commands.EXPERIMENT), tmp_path)
    for _ in range(2):
        commands.finish_but_one(tmp_path, folders)
        assert [pending(folder) for folder in folders] == [False, False, True]
        assert left_to_do(tmp_path, folders, with_failed=False) == ([], [])  # `resume` starts nothing
        assert list(leftovers(tmp_path, folders).of_runs) == sorted(folders[:2])


def test_a_process_is_measured_as_a_whole_and_without_who_started_it():
    idle, busy = (spent([sys.executable, "-c", code]) for code in ("pass", "x = b'x' * 300_000_000; sum(range(10**7))"))
    assert idle.memory < 0.03  # GB; this process holds torch
    assert 0.3 < busy.memory < 0.4
    assert busy.seconds > idle.seconds > 0
    with pytest.raises(RuntimeError, match=r"suite.cli status .*nowhere` ended with 2"):
        spent(offmap("status", "nowhere"))
