import json

import pytest

from suite.errors import UserError
from suite.experiment.specs import Execution
from suite.results.status import Status
from suite.run.event_files import FOLDER, event_files, require_tensorboard
from suite.run.training import train


def curves(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    held = EventAccumulator(str(folder / FOLDER)).Reload()
    return {
        tag: [(event.step, event.tensor_proto.float_val[0]) for event in held.Tensors(tag)]
        for tag in held.Tags()["tensors"]
    }


def test_unless_asked_for_nothing_is_written(tmp_path):
    with event_files(tmp_path, wanted=False) as write:
        write({"env_steps": 1, "return": 2.0})
    assert list(tmp_path.iterdir()) == []
    assert not Execution(env_steps=1).tensorboard


def test_every_line_once_also_after_a_kill(tmp_path):
    pytest.importorskip("tensorboard")
    lines = [{"env_steps": step, "iteration": step, "seconds": 1.0, "return": float(step), "loss": None}
             for step in (1, 2, 3)]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("")
    with event_files(tmp_path, wanted=True) as write:
        for line in lines:
            write(line)
    # Killed after the third line; the checkpoint knows of two.
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:2]))
    with event_files(tmp_path, wanted=True) as write:
        write(lines[2])
    assert curves(tmp_path) == {"training/return": [(1, 1.0), (2, 2.0), (3, 3.0)]}


def test_a_training_writes_what_its_metrics_hold_and_its_identity_stays(tiny_experiment, tmp_path):
    pytest.importorskip("tensorboard")
    from suite.results.prepare import prepare

    (plain,) = prepare(tiny_experiment(env_steps=1400), tmp_path / "plain")
    (folder,) = prepare(tiny_experiment(env_steps=1400, tensorboard=True), tmp_path / "events")
    assert folder.name == plain.name
    execution = Execution.model_validate_json((folder / "execution.json").read_text())
    assert execution.tensorboard
    train(folder, execution, Status(folder))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert curves(folder)["training/return"] == [
        (line["env_steps"], pytest.approx(line["return"])) for line in lines
    ]  # fmt: skip


def test_a_missing_library_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    monkeypatch.delitem(__import__("sys").modules, "tensorboard.summary", raising=False)
    with pytest.raises(UserError, match=r"pip install 'offmap\[tensorboard\]'"):
        require_tensorboard()
