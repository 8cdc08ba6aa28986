"""How far the cells of a grid are, and what their folders are called."""

import json

from suite.experiment.budgets import Budget
from suite.monitor.overview import labels, read_cells, refresh_cells
from suite.results.json_files import read_json, write_json
from suite.results.prepare import prepare
from suite.results.process_identity import this_process


def cells_of(out):
    return read_json(out / "cells.json")


def test_cells_say_how_far_they_are(tiny_experiment, run_here, tmp_path):
    (done,) = run_here(tiny_experiment(("mier",)), tmp_path)
    both = tiny_experiment(("mier", "mier-wr", "pearl"))
    prepare(both, tmp_path)
    assert [cell.state for cell in refresh_cells(tmp_path)] == ["done", "pending", "pending"]
    (_, pearl) = prepare(both, tmp_path)
    gone = this_process() | {"pid": 2**22 + 1}
    dead = {"state": "running", "host": gone["host"], "process": gone, "heartbeat": 0.0, "notes": []}
    write_json(pearl / "status.json", dead)
    states = [cell.state for cell in refresh_cells(tmp_path)]
    assert states == ["done", "pending", "killed"]
    assert "nothing works on it any more" in cells_of(tmp_path)[2]["reason"]
    assert [cell["status"] for cell in cells_of(tmp_path)] == states
    assert [cell.state for cell in read_cells(tmp_path)] == states
    assert json.loads((tmp_path / "cells.json").read_text())[0]["training"] == done.name


def test_a_cell_that_cannot_run_has_no_folder_and_no_label(tiny_experiment, tmp_path, monkeypatch):
    monkeypatch.setattr("algorithms.pearl.unsupported", lambda name, family: "no use for it", raising=False)
    prepare(tiny_experiment(("mier", "pearl")), tmp_path)
    mier, pearl = refresh_cells(tmp_path)
    assert (pearl.state, pearl.reason, pearl.folder, pearl.progress) == ("unsupported", "no use for it", None, None)
    assert list(labels(tmp_path)) == [mier.folder]


def test_a_folder_is_called_after_all_who_share_it(tiny_experiment, tmp_path):
    experiment = tiny_experiment(("mier", "mier-wr", "pearl"), split="cheetah-velocity.hard", seeds=[0, 1])
    splits = ("cheetah-velocity.hard", "cheetah-velocity.graded")
    folders = prepare(experiment.model_copy(update={"splits": splits, "budget": Budget(env_steps=300_000)}), tmp_path)
    both = ", ".join(splits)
    names = [f"{variants} · {both} · seed {seed}" for variants in ("mier, mier-wr", "pearl") for seed in (0, 1)]
    assert labels(tmp_path) == dict(zip(folders, names))
