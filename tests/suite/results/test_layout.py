"""Where things are in a results folder, and whose it is."""

import pytest

from suite.errors import UserError
from suite.results.json_files import read_json, write_json
from suite.results.layout import metatest_folders, pending, read_grid, refuse_foreign, refuse_other_hash
from suite.results.prepare import prepare


def test_only_a_new_an_empty_and_ones_own_folder_will_do(tmp_path):
    assert refuse_foreign("mine", tmp_path / "new") is False
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "lock-000001").touch()  # somebody is about to prepare it
    (tmp_path / "taken" / ".nfs0001").touch()
    assert refuse_foreign("mine", tmp_path / "taken") is False
    write_json(tmp_path / "taken" / "experiment.json", {"name": "mine", "experiment": {}})
    assert refuse_foreign("mine", tmp_path / "taken") is True
    with pytest.raises(UserError, match="belongs to the experiment 'mine', not to 'other'"):
        refuse_foreign("other", tmp_path / "taken")
    (tmp_path / "taken" / "experiment.json").unlink()
    (tmp_path / "taken" / "thesis.txt").touch()
    with pytest.raises(UserError, match="holds files but no experiment"):
        refuse_foreign("mine", tmp_path / "taken")


@pytest.mark.parametrize("content", ["", '{"name": "tin', "[]", '{"name": 3}'])
def test_a_marker_that_was_cut_is_written_anew(tiny_experiment, tmp_path, content):
    folders = prepare(tiny_experiment(("mier",)), tmp_path / "out")
    marker = tmp_path / "out" / "experiment.json"
    whole = marker.read_text()
    marker.write_text(content)
    assert refuse_foreign("tiny", tmp_path / "out") is True
    assert prepare(tiny_experiment(("mier",)), tmp_path / "out") == folders
    assert marker.read_text() == whole
    marker.write_text(content)
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(UserError, match="cannot be read; choose another folder"):
        refuse_foreign("tiny", tmp_path / "out")


def test_a_folder_has_work_left_until_every_meta_test_has_records(tiny_experiment, tmp_path):
    milestones = {"budget": {"env_steps": 1600, "milestones": [1200]}}
    (folder,) = prepare(tiny_experiment(("mier", "mier-wr"), **milestones), tmp_path)
    tests = metatest_folders(folder)
    assert [read_json(below / "config.json")["env_steps"] for below in tests] == [1200, 1200, 1600, 1600]
    for below in tests:
        assert pending(folder)
        (below / "records.parquet").touch()
    assert not pending(folder)


def test_the_grid_of_a_results_folder(tiny_experiment, tmp_path):
    prepare(tiny_experiment(("mier",), seeds=[0, 1]), tmp_path / "runs")
    assert [cell["seed"] for cell in read_grid(tmp_path / "runs")] == [0, 1]
    with pytest.raises(UserError, match=rf"is no results folder: .* did you mean {tmp_path / 'runs'}\?"):
        read_grid(tmp_path)
    with pytest.raises(UserError, match=f"results folders beside it: {tmp_path / 'runs'}"):
        read_grid(tmp_path / "rusn")


def test_a_folder_whose_name_is_another_hash_is_refused(tmp_path):
    refuse_other_hash(tmp_path / "abc", "abc")
    with pytest.raises(UserError, match=r"it describes abd, its folder is abc; give the `offmap run` command again"):
        refuse_other_hash(tmp_path / "abc", "abd")
