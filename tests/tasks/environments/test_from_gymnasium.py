"""Anyone's gymnasium environment as a family: what it gives is what gymnasium gives, and what does not fit is said."""

import copy
import pickle
import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from plugin_texts import PENDULUM
from pydantic import ValidationError

import offmap
from suite.check.family import check_family
from suite.cli import main
from suite.errors import UserError
from suite.experiment.code_identity import code_of
from suite.experiment.plugins import stop_using, use_plugins
from tasks.registry import get_family, get_split, make_batch, termination_rule
from tasks.spec import Parameter
from tasks.verify import verify

GRAVITY = (Parameter(name="gravity", unit="m/s^2"),)


@pytest.fixture
def pendulum(tmp_path):
    """The file of a plugin with gymnasium's pendulum as a family, in use."""
    path = tmp_path / "heavy.py"
    path.write_text(PENDULUM)
    use_plugins([str(path)], tmp_path)
    yield path
    stop_using("offmap_plugin_heavy")


class Slide(gymnasium.Env):
    """A place on a line that actions push; an episode ends beyond `end`."""

    metadata = {"render_fps": 10}
    observation_space = Box(-10.0, 10.0, (1,), np.float64)
    action_space = Box(np.array([-1.0, 0.0]), np.array([3.0, 4.0]), dtype=np.float64)
    end = 1.0

    def __init__(self):
        self.wind, self.done = np.zeros(2), []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.1, 0.1)
        return np.array([self.place]), {}

    def step(self, action):
        self.done.append(action)
        self.place += 0.1 * action[0] + self.wind.sum()
        return np.array([self.place]), -abs(self.place), self.place > self.end, False, {}


def family_of(environment, **fields):
    """A family of an environment, with one parameter that is called wind."""
    given = {"name": "slide", "parameters": (Parameter(name="wind", unit="m", size=2),), "varies": "dynamics",
             "set_parameter": lambda env, wind: setattr(env, "wind", wind), "horizon": 20, "dt": 0.1,
             "terminated": lambda observations: observations[..., 0] > 1.0}  # fmt: skip
    return offmap.family.from_gymnasium(environment, **given | fields)


def rows_of(family, values, seed=0):
    """Rows of a family, an episode begun in each, and the first observations."""
    batch = make_batch(family, len(values))
    batch.set_tasks(np.array(values, float))
    return batch, batch.reset(np.arange(len(values)), [np.random.default_rng(seed + row) for row in range(len(values))])


def test_a_row_is_gymnasiums_own_environment_with_actions_on_its_scale(pendulum):
    batch, first = rows_of("pendulum-gravity", [[3.0], [7.0]])
    alone = gymnasium.make("Pendulum-v1").unwrapped
    alone.g = 7.0
    observation, _ = alone.reset(seed=int(np.random.default_rng(1).integers(2**31)))
    assert np.array_equal(first[1], observation)
    for action in (0.25, -1.0, 3.0):  # of which the last is clipped
        step = batch.step(np.full((2, 1), action, np.float32))
        observation, reward, *_ = alone.step(np.array([2 * min(action, 1.0)], np.float32))
        assert np.array_equal(step.observations[1], observation)
        assert step.rewards[1] == np.float32(reward)
    assert step.observations.dtype == step.rewards.dtype == np.float32
    assert not step.terminated.any()


def test_the_families_of_the_documentation_are_one_family(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "adding.md").read_text()
    texts = [text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "FAMILIES" in text]
    files = [tmp_path / f"of_the_page_{number}.py" for number in range(len(texts))]
    for file, text in zip(files, texts):
        file.write_text(text)
    modules = [plugin.module for plugin in use_plugins(map(str, files), tmp_path)]
    try:
        both = [get_family(name) for name in ("pendulum-gravity", "pendulums")]
        for family, file in zip(both, files):
            assert "FAILED" not in {finding.outcome for finding in check_family(family, file)}
        rows, together = (rows_of(family, [[6.0], [14.0]])[0] for family in both)
        together.angle, together.speed = np.array([one.unwrapped.state for one in rows._environments]).T
        for action in (0.3, -1.0, 0.9):
            steps = [batch.step(np.full((2, 1), action, np.float32)) for batch in (rows, together)]
            assert steps[0].observations == pytest.approx(steps[1].observations, abs=1e-5)
            assert steps[0].rewards == pytest.approx(steps[1].rewards, abs=1e-5)
    finally:
        for module in modules:
            stop_using(module)


def test_it_is_declared_by_what_gymnasium_says(pendulum):
    family = get_family("pendulum-gravity")
    assert (family.observation_dim, family.action_dim, family.horizon, family.dt) == (3, 1, 50, 0.05)
    assert (family.body, family.source, family.terminates) == ("Pendulum-v1", "gymnasium: Pendulum-v1", False)
    whole = offmap.family.from_gymnasium(
        "Pendulum-v1", name="whole", set_parameter=print, parameters=GRAVITY, varies="dynamics"
    )
    assert whole.horizon == 200, "the time limit that it is registered with"


def test_all_that_families_have_to_keep_is_kept(pendulum):
    assert [check for check in verify(get_split("pendulum-gravity.heavy")) if not check.passed] == []
    assert {finding.outcome for finding in check_family(get_family("pendulum-gravity"), pendulum)} == {
        "passed", "skipped"
    }  # fmt: skip


def test_an_episode_can_be_copied_and_pickled_in_its_middle(pendulum):
    whole = gymnasium.make("offmap/PendulumGravity-v1", split="heavy")
    whole.reset(seed=3)
    whole.step(np.array([0.5], np.float32))
    for twin in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert np.array_equal(twin.step(np.array([1.0], np.float32))[0], copy.deepcopy(whole).step(np.ones(1))[0])


def test_lists_and_pages_say_that_it_is_slow(pendulum, capsys):
    for words in (["list"], ["show", "pendulum-gravity"]):
        with pytest.raises(SystemExit):
            main(["tasks", *words, "--plugin", str(pendulum)])
        assert "slow: an environment per row" in capsys.readouterr().out


def test_an_edit_of_the_file_or_of_how_rows_are_stepped_is_noticed(pendulum):
    modules = code_of(["null"], "pendulum-gravity")["modules"]
    assert {"offmap_plugin_heavy", "tasks.environments.from_gymnasium", "tasks.environments.gymnasium_rows"} <= {
        *modules
    }


def test_an_environment_that_ends_has_a_rule_that_others_can_ask(tmp_path):
    batch, first = rows_of(family_of(Slide), [[0.0, 0.0], [0.0, 0.5]])
    step = batch.step(np.array([[0.0, 0.0], [1.0, 0.0]]))
    low, high = Slide.action_space.low, Slide.action_space.high
    assert np.array_equal(batch._environments[1].done[0], [high[0], (low + high)[1] / 2]), "scaled by each its bounds"
    assert step.observations[:, 0] == pytest.approx(first[:, 0] + [0.1, 0.1 * 3 + 0.5])
    assert step.rewards == pytest.approx(-np.abs(step.observations[:, 0]))
    while not step.terminated[1]:
        step = batch.step(np.zeros((2, 2)), np.array([False, True]))
    assert step.observations[0, 0] == pytest.approx(first[0, 0] + 0.1), "a row that is not active stays as it was"
    assert termination_rule(family_of(Slide))(step.observations).tolist() == [False, True]


def test_observations_of_several_parts_are_laid_out_flat():
    class Parts(Slide):
        observation_space = Dict({"place": Box(-10.0, 10.0, (1,), np.float64), "side": Discrete(2)})

        def reset(self, **arguments):
            place, info = super().reset(**arguments)
            return {"place": place, "side": int(place[0] > 0)}, info

        def step(self, action):
            place, *rest = super().step(action)
            return {"place": place, "side": int(place[0] > 0)}, *rest

    batch, first = rows_of(family_of(Parts), [[0.0, 0.0]])
    assert batch.family.observation_dim == 3
    assert first[0, 1:].tolist() == [float(first[0, 0] <= 0), float(first[0, 0] > 0)]


def changed(**members):
    """A slide of which some things are otherwise."""
    return type("Changed", (Slide,), members)


def stepping(**results):
    """A step that gives something else, by its place in what a step gives."""
    places = {"observation": 0, "reward": 1, "terminated": 2, "truncated": 3}

    def step(self, action):
        given = list(Slide.step(self, action))
        for name, value in results.items():
            given[places[name]] = value
        return tuple(given)

    return step


@pytest.mark.parametrize(("environment", "fields", "said"), [
    ("Pendulum-v9", {}, r"there is no environment 'Pendulum-v9'.*did you mean Pendulum-v1\?"),
    ("CartPole-v1", {}, r"action space Discrete\(2\).*gymnasium.ActionWrapper"),
    (changed(action_space=Box(-np.inf, np.inf, (1,))), {}, "cannot be scaled: give it finite ones"),
    (changed(observation_space=gymnasium.spaces.Sequence(Discrete(2))), {}, "no fixed number of numbers: wrap it in a"),
    (Slide, {"horizon": None}, "slide: nothing says how long an episode is; give `horizon`"),
    (changed(metadata={}), {"dt": None}, "nothing says how long a step is; give `dt`, in seconds"),
    (lambda: None, {}, "<lambda> cannot be made .*TypeError: it made None, which is no gymnasium.Env"),
    (Slide, {"set_parameter": 3}, "set_parameter is 3, and no function"),
    (lambda: 1 / 0, {}, r"<lambda> cannot be made \(test_from_gymnasium.py, line \d+\): ZeroDivisionError"),
])  # fmt: skip
def test_what_cannot_be_a_family_is_one_sentence(environment, fields, said):
    with pytest.raises(UserError, match=said) as raised:
        family_of(environment, **fields)
    assert "\n" not in str(raised.value)


def play(family):
    """An episode of twenty steps."""
    batch, _ = rows_of(family, [[0.0, 0.25]])
    for _ in range(20):
        batch.step(np.ones((1, 2)))


def unseeded(self, *, seed=None, options=None):
    """A reset that draws from a source of its own."""
    self.place = np.random.default_rng().uniform()
    return np.array([self.place]), {}


def remembering(self, *, seed=None, options=None):
    """A reset that begins where the last episode ended."""
    gymnasium.Env.reset(self, seed=seed)
    self.place = getattr(self, "place", 0.0) / 2
    return np.array([self.place]), {}


@pytest.mark.parametrize("fields", [{"name": "Slide 2"}, {"horizon": 0}, {"dt": 0.0}, {"parameters": ()}], ids=str)
def test_what_no_family_can_have_is_not_taken(fields):
    with pytest.raises(ValidationError, match=next(iter(fields))):
        family_of(Slide, **fields)


@pytest.mark.parametrize(("environment", "fields", "said"), [
    (Slide, {"set_parameter": lambda env, wind: env.winds.fill(wind)},
     r"set_parameter failed at \[0.0, 0.25\] \(.*line \d+\): AttributeError: .*'winds'"),
    (Slide, {"set_parameter": lambda env: None}, "set_parameter failed at .* takes 1 positional argument"),
    (Slide, {"terminated": None}, "ended an episode, and nothing says when it does: give `terminated`"),
    (changed(step=stepping(truncated=True)), {}, "cut an episode by itself; a family's horizon does that"),
    (changed(step=stepping(reward=np.nan)), {}, "gave the reward nan"),
    (changed(step=stepping(reward="much")), {}, "failed in a step .*could not convert string to float: 'much'"),
    (changed(step=stepping(observation=np.array([np.inf]))), {}, "an observation that is not finite"),
    (changed(step=stepping(observation=np.zeros(3))), {}, "gave 3 numbers as an observation, and its .* has 1"),
    (changed(reset=unseeded), {}, "does not play an episode the same again.*`self.np_random` alone"),
    (changed(reset=remembering), {}, "keep nothing from one episode to the next"),
])  # fmt: skip
def test_what_goes_wrong_on_the_way_is_one_sentence(environment, fields, said):
    with pytest.raises(UserError, match=said) as raised:
        play(family_of(environment, **fields))
    assert "\n" not in str(raised.value)


def test_a_row_is_reset_before_it_is_stepped_and_given_what_it_takes():
    batch = make_batch(family_of(Slide), 2)
    with pytest.raises(RuntimeError, match="row 0 has not been reset"):
        batch.step(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"\(row, action\) = \(2, 2\) needed"):
        batch.step(np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"\(row, parameter\) = \(2, 2\) needed"):
        batch.set_tasks(np.zeros((2, 1)))


def test_a_shift_that_sets_nothing_is_found(tmp_path):
    path = tmp_path / "typo.py"
    path.write_text(PENDULUM.replace("pendulum.g = gravity", "pendulum.gg = gravity"))
    use_plugins([str(path)], tmp_path)
    try:
        (failure,) = [check for check in verify(get_split("pendulum-gravity.heavy")) if not check.passed]
        assert "the shift does not bite" in failure.detail
    finally:
        stop_using("offmap_plugin_typo")
