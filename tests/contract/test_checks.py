"""`offmap check`: ours pass, and what is planted in a working algorithm or family is found by the check made for it."""

import json
import sys

import pytest

from algorithms.registry import ALGORITHMS, get_algorithm
from suite.check.algorithm import CHECKS, check_algorithm
from suite.check.family import check_family
from suite.check.report import carry_out
from suite.check.subjects import Subject
from suite.cli import new
from suite.experiment.plugins import stop_using, use_plugins
from tasks.registry import families, get_family

POINTS = ("point-goal", "point-dynamics")
IN_FRONT = "\n\nclass Mine(SimpleAlgorithm):"
AGENT = """
    def agent(self, config, seed):
        from algorithms.simple import OneByOne

        class Loose(OneByOne):
            def {method}:
                {body}

        return Loose(self.simple_agent(), config, seed)

    def simple_agent(self):
"""


def loose(method, body):
    """An agent one of whose methods is another."""
    return "\n    def simple_agent(self):\n", AGENT.format(method=method, body=body)


@pytest.fixture
def mine(tmp_path, capsys):
    """A function (kind, old, new) -> the new project's module with a change planted in it, in use."""

    def make(kind, *change):
        getattr(new, kind)("mine", tmp_path / "mine")
        path = tmp_path / "mine" / "mine.py"
        if change:
            assert path.read_text().count(change[0]) == 1
            path.write_text(path.read_text().replace(*change))
        (plugin,) = use_plugins([str(path)], tmp_path)
        return plugin

    yield make
    stop_using("offmap_plugin_mine")


def failures(findings):
    return {finding.name: finding.detail for finding in findings if finding.outcome == "FAILED"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_our_algorithms_pass(name):
    assert failures(check_algorithm(get_algorithm(name), map(get_family, POINTS))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_our_families_pass(family, tmp_path):
    assert failures(check_family(family, tmp_path)) == {}


def test_a_new_algorithm_passes(mine):
    mine("algorithm")
    findings = check_algorithm(get_algorithm("mine"), map(get_family, POINTS))
    assert failures(findings) == {}
    assert [finding.name for finding in findings] == [check.name for check in CHECKS]


@pytest.mark.parametrize(("change", "check", "said"), [
    (("    def iterate(", "    def iterates("), "is whole", "Mine lacks iterate"),
    (("    def first_steps(", "    def frist_steps("), "is whole", "MineTrain lacks first_steps"),
    (("    def policy(", "    def polcy("), "builds everywhere", "MineAgent with abstract method policy"),
    (("return self.candidates[np.argmax", "return np.random.default_rng().permuted(self.candidates)[np.argmax"),
     "evaluates deterministically", "two forks of one agent act differently"),
    (loose("observe(self, transition, active, end)", "super().observe(transition, active | True, end)"),
     "ignores inactive rows", "what an inactive row was told changed"),
    (('"""How an agent adapts; with `adapts: false` it does not."""', "updates = property(lambda self: 5)"),
     "adapts as it claims", "adapt ends after 0 updates, and 5 are declared"),
    (loose("adapt(self, every, limit=None)", "return iter(())"), "adapts as it claims", "adapt yields no point"),
    (loose("begin(self, tasks)", "None if hasattr(self, 'seen') else super().begin(tasks)"),
     "forks feed nothing", "after `begin` the agent still knows"),
    (loose("fork(self, episodes)", "self.seen = [[], []]; return super().fork(episodes)"),
     "forks feed nothing", "changed what the agent adapts to"),
    (loose("adapt(self, every, limit=None)", "yield from super().adapt(every, limit); "
           "self.states = [np.mean(self.states, axis=0)] * len(self.states)"),
     "keeps tasks apart", "other data of one task change actions in another by"),
    (("        actions = self.source.spaces.action_dim\n", "        actions = 2; np.random.seed(0)\n"),
     "is decided by its seed", "a global random state"),
    (("self.choices.uniform", "np.random.default_rng().uniform"), "is decided by its seed", "with one seed differ"),
    (("(features_of(following) @ state, axis=1)]", "(features_of(following) @ state, axis=1)][:, :1]"),
     "builds everywhere", "not (row, action)"),
    (("return self.candidates[np.argmax", "return np.nan * self.candidates[np.argmax"),
     "builds everywhere", "are not finite"),
    (('            "products": self.products,\n', ""), "continues bit for bit", "`parts` lacks something"),
    (("return num_tasks * self.transitions", "return num_tasks"), "keeps its budget", "announced 40 steps"),
    (("default=0.3, gt=0,", "gt=0,"), "has defaults", "noise"),
    (('return {"return": self.mean_return(batch)}', 'return {"reward": 1.0}'), "learns", "without `return`"),
    (("        return {\n", "        self.more = torch.cat([getattr(self, 'more', torch.zeros(0)), torch.ones(9999)])\n"
      '        return {\n            "more": self.more,\n'), "keeps its memory", "numbers after 3, 4 and 5"),
    (("        features = 1 + 2", "        from tasks.registry import get_split\n"
      "        self.peek = get_split('point-goal.ood').test\n        features = 1 + 2"), "sees no test task", "holds"),
    (("        ridge = 1e-3", "        1 / 0\n        ridge = 1e-3"), "evaluates deterministically", "(mine.py, line "),
    (("        ridge = 1e-3", "        raise SystemExit(3)\n        ridge = 1e-3"), "evaluates deterministically",
     "RuntimeError: it calls sys.exit(3), which would end all that runs it (mine.py, line "),
])  # fmt: skip
def test_a_planted_mistake_is_found_by_the_check_made_for_it(mine, change, check, said):
    plugin = mine("algorithm", *change)
    chosen = [one for one in CHECKS if one.name == check]
    (finding,) = carry_out(chosen, (Subject(get_algorithm("mine")), ["point-goal"]), plugin.path)
    assert finding.outcome == "FAILED"
    assert said in finding.detail


@pytest.mark.parametrize(("change", "check"), [
    ((), None),
    (("self.speeds = np.where(active, pushed, self.speeds)", "self.speeds = pushed"), "rests where inactive"),
    (("            self.speeds[row] = generator.uniform(-0.01, 0.01)", "            self.speeds[row] = 0.01 * row"),
     "rows are single environments"),
    (("return next_observations[..., 0] != next_observations[..., 0]", "return next_observations[..., 0] > 0"),
     "ends by its rule"),
    (("observations = self.speeds[:, None].astype(np.float32)", "observations = self.speeds[:, None]"),
     "rows are single environments"),
    (("np.abs(self.speeds - self.values[:, 0])", "np.abs(self.speeds)"), "splits are what they say"),
    (("SPLITS = (", "OTHERS = ("), "splits are what they say"),
    (("        terminates=False,\n", '        terminates=False,\n        analytic_reward="exact",\n'),
     "rewards by its rule"),
])  # fmt: skip
def test_a_new_family_passes_and_a_planted_mistake_is_found(mine, change, check):
    plugin = mine("family", *change)
    assert set(failures(check_family(get_family("mine"), plugin.path))) >= ({check} if check else set())
    assert check or failures(check_family(get_family("mine"), plugin.path)) == {}


@pytest.mark.parametrize("change", [
    ("    def iterate(", "    def iterates("), ("ALGORITHMS = (", "1 / 0\nALGORITHMS = ("),
])  # fmt: skip
def test_of_what_is_not_whole_nothing_else_is_said(mine, change):
    plugin = mine("algorithm", *change)
    findings = [*carry_out(CHECKS, (Subject(get_algorithm("mine")), []), plugin.path)]
    assert [finding.outcome for finding in findings] == ["FAILED"] + ["skipped"] * (len(CHECKS) - 1)
    assert findings[-1].detail == "cannot be told before it is whole"
    assert "define what is lacking" in findings[0].mend


def test_a_plugin_is_checked_by_its_module_too_and_one_of_the_other_kind_says_so(mine, monkeypatch, capsys):
    from suite.cli import main

    plugin = mine("family")
    monkeypatch.syspath_prepend(str(plugin.path.parent))
    stop_using(plugin.module)
    for kind, given, code in (("family", "mine", 0), ("algorithm", "mine", 2), ("algorithm", str(plugin.path), 2)):
        with pytest.raises(SystemExit) as left:
            main(["check", kind, given])
        stop_using("mine")
        sys.modules.pop("mine", None)
        assert left.value.code == code
        said = capsys.readouterr()
        assert "passed  rests where inactive" in said.out if code == 0 else "`offmap check family " in said.err


def test_the_command_lists_why_and_what_to_do_and_leaves_with_1(mine, capsys):
    from suite.cli import main

    plugin = mine("algorithm", "return num_tasks * self.transitions", "return num_tasks")
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as left:
            main(["check", "algorithm", str(plugin.path), "--no-everywhere", *more])
        assert left.value.code == 1
        out = capsys.readouterr().out
    budget = next(row for row in json.loads(out)["mine"] if row["name"] == "keeps its budget")
    assert budget["outcome"] == "FAILED"
    assert budget["mend"].startswith("let `first_steps`")
