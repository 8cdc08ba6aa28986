"""One process does all the work of a training folder; whatever goes wrong is said once, in words."""

import errno
import os
import subprocess
import threading

import numpy as np
import pytest
import torch
from patience import wait_until

import suite.run.rollout
from algorithms.mier import Mier, MierAgent
from suite.experiment.specs import MetatestSpec
from suite.results.json_files import open_log, read_json, write_json
from suite.results.layout import metatest_folders, pending
from suite.results.lock import owned
from suite.results.prepare import prepare
from suite.results.provenance import provenance, write_provenance
from suite.results.records import read_table
from suite.results.status import JOB, read_status
from suite.run.processes import TAKEN, worker_command, worker_environment
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.worker import main
from tasks.registry import make_batch
from tasks.spec import fingerprint


@pytest.fixture
def prepared(tiny_experiment, tmp_path):
    """A function (**fields) -> the training folder of a tiny experiment, nothing run yet."""

    def build(algorithms=("mier",), **fields):
        (folder,) = prepare(tiny_experiment(algorithms, **fields), tmp_path / "runs")
        return folder

    return build


def test_a_finished_folder_holds_what_it_should(prepared, capfd):
    folder = prepared(("mier", "mier-wr"))
    assert main([str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "execution.json", "provenance.json", "status.json", "metrics.jsonl", "metrics.parquet",
        "lock-000001", "checkpoints", "log", "metatests",
    }  # fmt: skip
    for below in metatest_folders(folder):
        names = {"config.json", "label.json", "records.parquet", "diagnostics.parquet"}
        assert {path.name for path in below.iterdir()} == names
    status = read_status(folder)
    assert [status[key] for key in ("state", "stage", "env_steps", "tested")] == ["done", "done", 1600, 1.0]
    table, metadata = read_table(folder / "metrics.parquet")
    rows = table.to_pandas()
    assert metadata["training"] == folder.name
    assert sorted(rows.env_steps.unique()) == [800, 1000, 1200, 1400, 1600]
    assert {"return", "model_loss", "critic_loss"} <= set(rows.name)
    assert rows.value.notna().all()
    assert capfd.readouterr().err == ""


def test_records_tell_all_that_a_figure_needs(prepared):
    folder = prepared()
    assert main([str(folder)]) == 0
    (below,) = metatest_folders(folder)
    table, metadata = read_table(below / "records.parquet")
    split = metadata["split"]
    assert (metadata["run"], metadata["training"], metadata["variant"]) == (below.name, folder.name, "mier")
    assert (metadata["env_steps"], metadata["budget_env_steps"], metadata["seed"]) == (1600, 1600, 0)
    assert (split["full_name"], split["axis"], split["axis_unit"]) == ("point-goal.ood", "angle", "rad")
    assert len(split["train_axis_values"]) == 40
    assert {name: len(values) for name, values in split["test_lists"].items()} == {"test": 10, "test_id": 10}
    assert metadata["protocol"]["adaptation_transitions"] == 40
    assert metadata["config"]["train"]["policy_hidden"] == [16, 16, 16]
    assert metadata["provenance"]["threads"] == 1
    rows = table.to_pandas()
    assert set(rows.phase) == {"before", "collect", "during", "after"}
    assert (rows.groupby(["task_list", "task"]).ngroups, rows.run.nunique()) == (20, 1)
    values = rows.groupby(["task_list", "task"]).parameter.first()
    assert values["test"].tolist() == split["test_lists"]["test"]


@pytest.mark.parametrize("name", ["mier", "pearl"])
def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(prepared, capfd, name):
    rate = "policy_learning_rate" if name == "mier" else "learning_rate"
    folder = prepared((name,), train={rate: 1e15, "steps_per_iteration": 20})
    assert main([str(folder)]) == 1
    status = read_status(folder)
    assert status["state"] == "failed"
    assert status["message"].startswith("diverged: ")
    assert status["message"].endswith("near env step 1000" if name == "mier" else "near env step 1100")
    assert capfd.readouterr().err.strip() == status["message"]
    assert checkpoint_names(folder / "checkpoints") == ["000000000800"]
    assert not list(folder.rglob("*.parquet"))
    assert main([str(folder)]) == 1  # trying again diverges at the same place
    assert read_status(folder)["message"] == status["message"]


def test_an_action_that_is_not_finite_ends_the_run_as_diverged(prepared, monkeypatch):
    """A policy that is poisoned after an iteration whose losses were still fine."""
    iterate = Mier.iterate

    def poisoned(self):
        metrics = iterate(self)
        if self.store.size > 1200:
            self.sac.policy[0].data[0, 0, 0] = float("nan")
        return metrics

    monkeypatch.setattr(Mier, "iterate", poisoned)
    folder = prepared()
    assert main([str(folder)]) == 1
    message = read_status(folder)["message"]
    assert message == "diverged: the policy gave an action that is not finite, near env step 1200"
    assert not list(folder.rglob("*.parquet"))


@pytest.mark.parametrize("poison", ["reward", "fine-tuning"])
def test_what_diverges_in_a_meta_test_leaves_no_records(prepared, monkeypatch, poison):
    if poison == "reward":

        def environment(family, rows):
            made = make_batch(family, rows)
            step = made.step
            made.step = lambda *arguments: step(*arguments)._replace(rewards=np.full(rows, np.nan, np.float32))
            return made

        monkeypatch.setattr("suite.run.metatest.make_batch", environment)
    else:
        adapt_model = MierAgent._adapt_model
        monkeypatch.setattr(
            MierAgent, "_adapt_model",
            lambda *arguments: [torch.full_like(part, torch.nan) for part in adapt_model(*arguments)],
        )  # fmt: skip
    folder = prepared()
    assert main([str(folder)]) == 1
    assert read_status(folder)["message"].startswith("diverged: ")
    assert not list(folder.rglob("records.parquet"))


def test_an_unforeseen_error_is_traced_and_said(prepared, monkeypatch, capfd):
    monkeypatch.setattr(Mier, "iterate", lambda self: 1 / 0)
    folder = prepared()
    assert main([str(folder)]) == 1
    assert read_status(folder)["message"] == "ZeroDivisionError: division by zero"
    assert "Traceback" in capfd.readouterr().err


def test_a_run_is_not_done_before_its_metrics_are_a_table(prepared, monkeypatch):
    """Whoever dies while they are written has left something to do; with the last records nothing is."""
    folder = prepared()
    with monkeypatch.context() as patched:
        patched.setattr("suite.run.worker.metrics_table", lambda folder: 1 / 0)
        assert main([str(folder)]) == 1
    assert pending(folder)
    assert main([str(folder)]) == 0
    assert read_table(folder / "metrics.parquet")[0].num_rows > 0


def test_a_folder_that_is_worked_on_is_refused(prepared, capfd):
    folder = prepared()
    before = {*folder.rglob("*")}
    with owned(folder):
        assert main([str(folder)]) == TAKEN
    message = capfd.readouterr().err
    assert message.startswith(f"{folder}: another process is working on this run (process {os.getpid()} on ")
    assert {*folder.rglob("*")} == before | {folder / "lock-000001"}  # the owner's status is not written over


def test_the_next_job_of_a_run_waits_until_the_one_before_has_ended(prepared, monkeypatch):
    """As where a run is resumed while its cancelled job still finishes an iteration."""
    folder = prepared(("null",))
    monkeypatch.setenv(JOB, "42")
    before = owned(folder)
    before.__enter__()
    threading.Timer(1.0, before.__exit__, (None, None, None)).start()
    assert main([str(folder)]) == 0
    with owned(folder):
        monkeypatch.setattr("suite.run.worker.PATIENCE_SECONDS", 0.1)
        assert main([str(folder)]) == TAKEN


def test_a_second_process_is_refused_while_the_first_works(prepared, capfd):
    """The first is a real worker that is held up by a training of many steps."""
    folder = prepared(train={"steps_per_iteration": 100_000})
    first = subprocess.Popen(worker_command(folder), env=worker_environment())
    try:
        wait_until((folder / "metrics.jsonl").exists, lambda: first.poll() is None)
        assert main([str(folder)]) == TAKEN
        assert "another process is working on this run" in capfd.readouterr().err
        assert read_status(folder)["state"] == "running"
        assert read_status(folder)["pid"] == first.pid
    finally:
        first.kill()
        first.wait()
    assert read_status(folder)["state"] == "killed"


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "usage: python -P -m suite.run.worker FOLDER"), (["a", "b"], "usage: python -P -m suite.run.worker FOLDER"),
    (["/nowhere/at/all"], "there is no folder /nowhere/at/all"),
])  # fmt: skip
def test_calls_that_cannot_work(arguments, said, capfd):
    assert main(arguments) == 2
    assert capfd.readouterr().err.strip() == said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_device_that_is_not_there_is_said_before_anything_starts(prepared, capfd, device):
    folder = prepared(device=device)
    assert main([str(folder)]) == 2
    message = f"device: {device} was asked for, and there is no CUDA device here; set device: cpu"
    assert capfd.readouterr().err.strip() == message == read_status(folder)["message"]
    assert not (folder / "checkpoints").exists()


def test_where_the_work_was_done_before_is_not_forgotten(tmp_path):
    path, now = tmp_path / "provenance.json", provenance("offmap run x", "cpu", 1)
    assert now["versions"]["torch"] == torch.__version__
    write_provenance(path, now)
    write_provenance(path, now | {"command": "offmap run y"})
    assert "earlier" not in read_json(path)
    write_json(path, now | {"git_revision": "older"})
    write_provenance(path, now)
    write_provenance(path, now)
    assert [document["git_revision"] for document in read_json(path)["earlier"]] == ["older"]
    write_provenance(path, now | {"host": "elsewhere"})
    assert [document["host"] for document in read_json(path)["earlier"]] == [now["host"]] * 2


@pytest.mark.parametrize("place", ["suite.run.training.save_checkpoint", "suite.run.metatest.write_table"])
def test_a_disk_that_fails_is_one_message_and_loses_nothing(prepared, monkeypatch, capfd, place):
    folder = prepared()

    def fails(*arguments, **named):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), "state.json")

    with monkeypatch.context() as patched:
        patched.setattr(place, fails)
        assert main([str(folder)]) == 2
    said = capfd.readouterr().err
    assert said.startswith("state.json could not be read or written: Stale file handle. What was done by the last")
    assert said.count("\n") == 1
    assert read_status(folder)["state"] == "failed"
    assert main([str(folder)]) == 0


def as_of_another_version(below, **config):
    """A pending meta-test as another version of offmap has prepared it, under the hash that it has there."""
    document = read_json(below / "config.json")
    document["config"] |= config
    identity = fingerprint({**{name: value for name, value in document.items() if name not in ("is_final", "split")},
                            "split": MetatestSpec.model_validate(document).split.hash})  # fmt: skip
    write_json(below / "config.json", document)
    return below.rename(below.with_name(identity))


def test_a_meta_test_of_another_version_is_one_message_before_anything_is_trained(
    tiny_experiment, prepared, tmp_path, capfd
):
    """MIER's gate was once a number."""
    folder = prepared()
    below = as_of_another_version(next((folder / "metatests").iterdir()), gate=-3.0)
    assert main([str(folder)]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert f"{below / 'config.json'}: config: gate: " in said
    assert "given -3.0. It was made by another version of offmap, or changed since: give the `offmap run` comm" in said
    assert read_status(folder)["message"] == said.strip()
    assert not (folder / "checkpoints").exists()
    prepare(tiny_experiment(("mier",)), tmp_path / "runs")  # as `offmap run` does
    assert main([str(folder)]) == 0
    assert not below.exists()


WORDS_OF_DAMAGE = {
    "execution.json": ({"env_steps": -1}, "execution.json: env_steps: "),
    "metatests/*/config.json": ({"protocol": 3}, "config.json: protocol: "),
    "metatests/*/label.json": ({"variant": ["mier"]}, "label.json is damaged (variant is ['mier'], it has to be"),
}


@pytest.mark.parametrize("name", WORDS_OF_DAMAGE)
@pytest.mark.parametrize("harm", ["field", "list", "gone", "folder", "pipe"])
def test_documents_that_are_not_what_they_should_be_are_one_message(prepared, capfd, name, harm):
    folder = prepared()
    (path,) = folder.glob(name)
    fields, words = WORDS_OF_DAMAGE[name]
    if harm in ("field", "list"):
        write_json(path, read_json(path) | fields if harm == "field" else [1])
    else:
        path.unlink()
    if harm in ("folder", "pipe"):
        path.mkdir() if harm == "folder" else os.mkfifo(path)
    code, said = main([str(folder)]), capfd.readouterr().err
    if (name, harm) == ("metatests/*/config.json", "gone"):  # then there is no such meta-test
        assert (code, said) == (0, "")
        return
    assert (code, said.count("\n"), "Traceback" in said) == (2, 1, False)
    assert words in said or harm != "field"
    assert "`offmap run` command again" in said or "is no ordinary file" in said
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize("content", ["[", "[]", '{"earlier": 3}', None])
def test_a_damaged_provenance_is_set_aside(tmp_path, content):
    path, now = tmp_path / "provenance.json", provenance("offmap run x", "cpu", 1)
    path.mkdir() if content is None else path.write_text(content)
    write_provenance(path, now)
    assert read_json(path) == now
    assert {entry.name for entry in tmp_path.iterdir()} == {"provenance.json", ".damaged-provenance.json"}


def test_nothing_is_written_through_a_link_in_a_run(prepared, tmp_path):
    folder = prepared()
    victim = tmp_path / "precious"
    victim.write_text("mine\n")
    (below,) = metatest_folders(folder)
    (tmp_path / "elsewhere").mkdir()
    (below / "parts").symlink_to(tmp_path / "elsewhere")
    for name in ("metrics.jsonl", "worker.log", "status.json", "provenance.json"):
        (folder / name).symlink_to(victim)
    with open_log(folder / "worker.log") as log:
        log.write(b"said")
    assert main([str(folder)]) == 0
    assert victim.read_text() == "mine\n"
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (
        "metrics.jsonl is no file of its own: it was set aside as .damaged-metrics.jsonl"
        in read_status(folder)["notes"]
    )
    assert (folder / "worker.log").read_text() == "said"


def test_a_log_is_no_pipe_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "worker.log")
    for said in (b"one ", b"two"):
        with open_log(tmp_path / "worker.log") as log:
            log.write(said)
    assert (tmp_path / "worker.log").read_bytes() == b"one two"


def test_a_second_run_of_a_finished_folder_does_nothing(prepared, monkeypatch):
    folder = prepared()
    assert main([str(folder)]) == 0
    before = {path: path.stat().st_mtime_ns for path in (folder / "metatests").rglob("*")}

    def no_steps(*arguments, **keywords):
        raise AssertionError("a simulator step was made")

    monkeypatch.setattr(suite.run.rollout, "collect", no_steps)
    monkeypatch.setattr("suite.run.metatest.collect", no_steps)
    assert main([str(folder)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "metatests").rglob("*")} == before
