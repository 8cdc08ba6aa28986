"""Experiments run from Python, and their results as a table."""

import warnings

import pytest
from plugin_texts import ALGORITHM

import offmap
from suite.experiment.plugins import stop_using

DECLARED = {
    "name": "small", "splits": ["point-goal.ood"], "algorithms": ["null", {"name": "random", "label": "dice"}],
    "budget": "smoke", "protocol": {"max_tasks": 2},
}  # fmt: skip


@pytest.mark.slow
def test_an_experiment_runs_once_and_gives_its_results(tmp_path):
    results = offmap.experiment(DECLARED, out=tmp_path / "out", workers=1)
    assert set(results["variant"]) == {"null", "dice"}
    assert results["is_reference"].all()
    after = results[(results["phase"] == "after") & (results["variant"] == "null")]
    assert after["return"].to_numpy() == pytest.approx(-20.0)
    assert len(after) == 2 * 2 * 3  # lists, tasks, episodes
    (records,) = set(tmp_path.glob(f"out/*/metatests/{after['run'].iloc[0]}/records.parquet"))
    first = records.stat().st_mtime_ns
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert offmap.experiment(DECLARED, out=tmp_path / "out", workers=1).equals(results)
        assert offmap.load_results(tmp_path / "out").equals(results)
    assert records.stat().st_mtime_ns == first


@pytest.mark.slow
def test_an_edited_plugin_is_warned_of_and_its_results_are_made_again_when_asked(tmp_path):
    file = tmp_path / "steady.py"
    file.write_text(ALGORITHM)
    declared = DECLARED | {"plugins": [str(file)], "algorithms": ["steady", "null"]}

    def returns(**more):
        results = offmap.experiment(declared, out=tmp_path / "out", workers=1, **more)
        return results[results["phase"] == "after"].groupby("variant")["return"].mean()

    try:
        assert returns()["steady"] == pytest.approx(-20.0)
        file.write_text(ALGORITHM.replace("self.action, np.float32", "0.1 + self.action, np.float32"))
        with pytest.warns(UserWarning, match="code changed since steady was run: offmap_plugin_steady.*rerun="):
            assert returns()["steady"] == pytest.approx(-20.0)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="code changed")
            again = returns(rerun=["steady"])
        assert again["steady"] != pytest.approx(-20.0, abs=0.1)
        assert again["null"] == pytest.approx(-20.0)
        with pytest.raises(offmap.UserError, match="--rerun stedy: small has no such variant; did you mean steady"):
            returns(rerun=["stedy"])
    finally:
        stop_using("offmap_plugin_steady")


def test_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(offmap.UserError, match="experiment: algorithms is missing"):
        offmap.experiment({key: DECLARED[key] for key in ("name", "splits", "budget")}, out=tmp_path / "out")
    with pytest.raises(offmap.UserError, match=r"no results to report: .*nowhere does not exist"):
        offmap.load_results(tmp_path / "nowhere")


def test_what_is_declared_is_left_as_it_is(tmp_path):
    declared = {"name": "small", "splits": ["point-goal.ood"], "algorithms": ["mier"], "budget": {"env_steps": 5}}
    with pytest.raises(offmap.UserError, match="budget: 7 env steps are fewer"):
        offmap.experiment(declared, out=tmp_path / "out", overrides=["budget.env_steps=7"])
    assert declared["budget"] == {"env_steps": 5}
