import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from reports import cli
from reports.export import export, scalars
from reports.reading.load import load
from suite.errors import UserError
from suite.results.records import METRICS_SCHEMA, write_table


@pytest.fixture
def folder(tmp_path, synthetic):
    """A training with three logged returns and a loss that once is no number, and its meta-tests."""
    folder = tmp_path / "results"
    for env_steps, is_final in ((500, False), (1000, True)):
        rows = [
            {"phase": phase, "return": value + env_steps, "env_steps": env_steps, "is_final": is_final}
            for phase, value in (("before", 1.0), ("after", 2.0), ("collect", 9.0))
        ]
        synthetic.write_run(folder, rows, synthetic.document(run=f"r{env_steps}", training="t0"))
    metrics = [
        {"training": "t0", "algorithm": "mier", "split": synthetic.SPLIT, "seed": 0, "env_steps": step,
         "wall_seconds": step / 10, "name": name, "value": value}
        for step, name, value in ((100, "return", 1.0), (200, "return", 2.0), (300, "return", 4.0),
                                  (300, "q_loss", float("nan")))
    ]  # fmt: skip
    write_table(folder / "t0" / "metrics.parquet", metrics, METRICS_SCHEMA, {})
    return folder


CURVES = {
    "training/return": [(100, 1.0), (200, 2.0), (300, 4.0)],
    "mier/cheetah-velocity.hard/test/before": [(500, 501.0), (1000, 1001.0)],
    "mier/cheetah-velocity.hard/test/after": [(500, 502.0), (1000, 1002.0)],
}


def test_curves_are_what_was_logged_and_every_meta_test(folder):
    rows = scalars(load(folder))
    assert {tag: list(zip(part["env_steps"], part["value"])) for tag, part in rows.groupby("tag")} == CURVES


def test_csv_holds_every_row(folder, tmp_path):
    (written,) = export(load(folder), ["csv"], tmp_path / "out")
    assert {path.name for path in written.iterdir()} == {
        "records.csv", "seeds.csv", "diagnostics.csv", "metrics.csv", "runs.csv"
    }  # fmt: skip
    assert len(pd.read_csv(written / "records.csv")) == 6
    assert list(pd.read_csv(written / "metrics.csv")["value"].dropna()) == [1.0, 2.0, 4.0]


def test_tensorboard_reads_back_what_was_written(folder, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (written,) = export(load(folder), ["tensorboard"], tmp_path / "out")
    (run,) = written.iterdir()
    assert run.name.startswith("mier-seed0-t0")
    held = EventAccumulator(str(run)).Reload()
    assert set(held.Tags()["tensors"]) == set(CURVES)
    for tag, points in CURVES.items():
        found = [(event.step, event.tensor_proto.float_val[0]) for event in held.Tensors(tag)]
        assert found == points


def test_wandb_writes_offline_runs_and_asks_for_nothing(folder, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "")
    (written,) = export(load(folder), ["wandb"], tmp_path / "out")
    assert list(written.glob("wandb/offline-run-*/*.wandb"))


def test_a_library_that_is_not_there_is_named_with_the_remedy(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(UserError, match=r"needs tensorboard.*pip install 'offmap\[tensorboard\]'"):
        export(load(folder), ["csv", "tensorboard"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hostile_names_stay_in_the_folder_and_are_no_formulas(tmp_path, synthetic):
    name = "=HYPERLINK(1)"
    row = {"variant": name, "training": "../../up", "return": 1.0}
    synthetic.write_run(tmp_path / "x", [row], synthetic.document())
    results = load(tmp_path / "x")
    (written,) = export(results, ["csv"], tmp_path / "out")
    assert pd.read_csv(written / "seeds.csv")["variant"].tolist() == [f"'{name}"]
    pytest.importorskip("tensorboard")
    (written,) = export(results, ["tensorboard"], tmp_path / "out")
    assert [path.parent.parent for path in tmp_path.rglob("*tfevents*")] == [written]


def test_the_command(folder, tmp_path):
    app = typer.Typer()
    app.command()(cli.export)

    def call(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    assert "no format" in str(call(folder).exception)
    done = call(folder, "--csv")
    assert done.stdout.strip() == str(folder / "export" / "csv")
    assert "there already" in str(call(folder, "--csv").exception)
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    assert "is a link" in str(call(folder, "--csv", "--out", folder / "link").exception)
    assert list(outside.iterdir()) == []
