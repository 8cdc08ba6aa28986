"""What is wrong with an algorithm of one's own stops its run alone, in one line that says what to do."""

import contextlib
import io

import pytest
from plugin_texts import FAMILY
from tests_support import written

from suite.cli import new
from suite.errors import UserError
from suite.executors.inline import run_inline
from suite.experiment.declaration import load_experiment
from suite.experiment.plugins import stop_using
from suite.monitor.overview import refresh_cells
from suite.results.prepare import prepare

EXPERIMENT = """
name: mine
plugins: [./mine/mine.py]
splits: [point-goal.ood]
algorithms: [{name: mine, train: {transitions: 5}}, "null"]
budget: {env_steps: 400}
protocol: {max_tasks: 1, evaluation_episodes: 1, task_lists: [test]}
"""
CHECK = "; `offmap check algorithm ./mine.py` says what is wrong, and how to mend it"
ACTIONS = "(len(observations), actions)).astype(np.float32)"
CHOICE = "return self.candidates[np.argmax(features_of(following) @ state, axis=1)]"
METRICS = 'return {"return": self.mean_return(batch)}'
AGENT = """    def agent(self, config, seed):
        from algorithms.base import Adaptation
        from algorithms.simple import OneByOne

        class Other(OneByOne):
            def {method}

        return Other(self.simple_agent(), config, seed)

    def simple_agent(self):"""
NO_AGENT = "    def agent(self, config, seed):\n        return None\n\n    def simple_agent(self):"


def agent(method):
    """An agent with another method."""
    return "    def simple_agent(self):", AGENT.format(method=method)


@pytest.fixture
def outcome(tmp_path):
    """A function (*changes) -> state and reason of the run of a new project's algorithm in which they were made.

    What ran beside it has to be done.
    """

    def run(*changes):
        with contextlib.redirect_stdout(io.StringIO()):
            new.algorithm("mine", tmp_path / "mine")
        path = tmp_path / "mine" / "mine.py"
        for old, new_text in changes:
            assert path.read_text().count(old) == 1
            path.write_text(path.read_text().replace(old, new_text))
        experiment = load_experiment(written(tmp_path, EXPERIMENT))
        run_inline(prepare(experiment, tmp_path / "out"))
        mine, null = refresh_cells(tmp_path / "out")
        assert (mine.variant, null.variant, null.state) == ("mine", "null", "done")
        return mine.state, mine.reason

    yield run
    stop_using("offmap_plugin_mine")


def test_as_it_stands_it_runs(outcome):
    assert outcome() == ("done", None)


@pytest.mark.parametrize(("change", "said"), [
    (("    def iterate(", "    def iterates("),
     f"TypeError: Can't instantiate abstract class Mine with abstract method iterate{CHECK}"),
    (("    def policy(", "    def polcy("),
     "TypeError: Can't instantiate abstract class MineAgent with abstract method policy (mine.py, line "),
    (("        ridge = 1e-3", "        self.nope\n        ridge = 1e-3"),
     "AttributeError: 'Mine' object has no attribute 'nope' (mine.py, line "),
    ((ACTIONS, ACTIONS.replace("actions)", "1 + actions)", 1)),
     "the policy gave actions of shape (40, 3); (row, action) = (40, 2) is needed"),
    ((CHOICE, f"{CHOICE}[:, :1]"), "the policy gave actions of shape (1, 1); (row, action) = (1, 2) is needed"),
    (("uniform(-1, 1, " + ACTIONS, "choice(['left'], " + ACTIONS.replace(".astype(np.float32)", "")),
     "the policy gave array([['left', 'left'], "),
    ((CHOICE, CHOICE.replace("return ", "return np.nan * ")),
     f"diverged: the policy gave an action that is not finite, near env step 400{CHECK}"),
    (("uniform(-1, 1, ", "uniform(2, 2, "),
     "the policy gave an action of 2; whatever the body, which scales them itself, they have to lie in [-1, 1]: clip"),
    (("        actions = self.source.spaces", "        np.random.seed(0)\n        actions = self.source.spaces"),
     "mine seeds or draws from the global random state of numpy, so that a run's seed does not decide its results:"),
    (("        ridge = 1e-3", "        torch.rand(1)\n        ridge = 1e-3"), "of torch, so that a run's seed does"),
    ((METRICS, "return None"), "Mine.iterate gave None: it has to return metrics by name, each of them a number"),
    ((METRICS, METRICS.replace("return\"", "reward\"")), "Mine.iterate gave the metrics ['reward']: `return`, that of"),
    ((METRICS, 'return {"return": 0.0, "loss": float("inf")}'), f"diverged: loss became inf, near env step 200{CHECK}"),
    (("return num_tasks * self.transitions", "return 0"),
     "Mine.iterate took 200 env steps and had announced 0: let first_steps and later_steps of the train block return"),
    (("        actions = self.source.spaces", "        raise SystemExit(3)\n        actions = self.source.spaces"),
     "RuntimeError: it calls sys.exit(3), which would end all that runs it (mine.py, line "),
    (agent("fork(self, episodes):\n                return None"),
     f"AttributeError: 'NoneType' object has no attribute 'act'{CHECK}"),
    (agent("adapt(self, every, limit=None):\n                yield 3"),
     "Other.adapt yielded 3: it has to yield Adaptation(updates, diagnostics)"),
    (agent("adapt(self, every, limit=None):\n                yield Adaptation(0, {'loss': 3.0})"),
     "Other.adapt: the diagnostics 'loss' have the shape (); one number per task, (1,), is needed"),
    (("    def simple_agent(self):", NO_AGENT),
     "Mine.agent gave None: it has to return an Agent (algorithms/base.py)"),
])  # fmt: skip
def test_a_mistake_stops_its_run_alone_in_one_line(outcome, change, said):
    state, reason = outcome(change)
    assert state == "failed"
    assert said in reason
    assert "\n" not in reason


FAR = EXPERIMENT.replace("mine/mine.py", "far.py").replace("point-goal", "far-point").replace(
    "{name: mine, train: {transitions: 5}}, ", "")  # fmt: skip
STEP = '    def start(self, generator):\n        """Where an episode starts."""\n'


@pytest.mark.parametrize(("change", "said"), [
    (('entry_point=f"{__name__}:FarPoint"', 'entry_point=f"{__name__}:FarPiont"'), "has no attribute 'FarPiont'"),
    ((STEP, f"    def step(self, actions):\n        pass\n\n{STEP}"), "takes 2 positional arguments but 3 were given"),
    (("return 2.0, 2.0", "return 1, 2, 3"), "ValueError: could not broadcast input array from shape (3,)"),
    ((STEP, "    def step(self, actions, active=None):\n        step = super().step(actions, active)\n"
            f"        return step._replace(rewards=step.rewards + float('nan'))\n\n{STEP}"),
     "diverged: the simulator gave a reward that is not finite, near env step 0"),
    ((STEP, f"{STEP}        import numpy\n        numpy.random.seed(0)\n"), "far-point seeds or draws from the global"),
])  # fmt: skip
def test_a_mistake_in_a_family_is_one_line_too(tmp_path, change, said):
    assert FAMILY.count(change[0]) == 1
    (tmp_path / "far.py").write_text(FAMILY.replace(*change))
    try:
        folders = prepare(load_experiment(written(tmp_path, FAR)), tmp_path / "out")
        run_inline(folders)
        (cell,) = refresh_cells(tmp_path / "out")
        assert cell.state == "failed"
        assert said in cell.reason
        assert "\n" not in cell.reason
        assert "seeds" in said or cell.reason.endswith(CHECK.replace("algorithm ./mine.py", "family ./far.py"))
    finally:
        stop_using("offmap_plugin_far")


@pytest.mark.parametrize(("change", "said"), [
    (("default=0.3, gt=0,", "gt=0,"),
     "mine.train: noise has no value: give it a default in MineTrain, as every field has to have one, or a value in"),
    (("    def first_steps(", "    def frist_steps("),
     "mine on point-goal.ood: TypeError: Can't instantiate abstract class MineTrain with abstract method first_steps; "
     "`offmap check algorithm ./mine.py`"),
    (("return num_tasks * self.transitions", "return len(num_tasks)"),
     "mine on point-goal.ood: TypeError: object of type 'int' has no len() (mine.py, line 39); `offmap check"),
])  # fmt: skip
def test_what_cannot_be_configured_is_refused_before_anything_runs(outcome, tmp_path, change, said):
    with pytest.raises(UserError) as caught:
        outcome(change)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*/metatests"))
