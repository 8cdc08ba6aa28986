"""What is shipped beside the code is there, or everything that needs it says so: other values are never run instead."""

from pathlib import Path

import pytest

from suite.errors import UserError
from suite.experiment import presets, shipped
from suite.experiment.declaration import load_experiment
from suite.experiment.presets import algorithm_document


def test_a_file_that_is_missing_is_an_error_and_no_empty_preset(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "CONFIGS", tmp_path)
    with pytest.raises(UserError, match=r"mier.yaml cannot be read: .*No such file.* install it again"):
        presets._shipped_document.__wrapped__("mier")
    with pytest.raises(UserError, match=r"budgets\.yaml cannot be read"):
        shipped.shipped("budgets.yaml")


def test_what_trains_on_nothing_has_no_file():
    assert algorithm_document("null") == {}


@pytest.mark.parametrize(("text", "complaint"), [("[1, 2]", "a mapping of keys"), ("a: [", "cannot be read")])
def test_a_file_that_holds_something_else_is_refused(tmp_path, text, complaint):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=complaint):
        shipped.read_mapping(tmp_path / "mine.yaml")


def test_a_shipped_experiment_is_known_by_its_name_and_a_file_of_that_name_goes_first(tmp_path, monkeypatch):
    assert load_experiment(Path("demo")) == load_experiment(shipped.CONFIGS / "experiments" / "demo.yaml")
    assert load_experiment(Path("paper/table-3-sweep")).name == "table-3-sweep"
    monkeypatch.chdir(tmp_path)
    Path("demo").write_text("{name: mine, splits: [point-goal.ood], algorithms: [null], budget: smoke}")
    assert load_experiment(Path("demo")).name == "mine"
