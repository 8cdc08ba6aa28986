"""The families as gymnasium environments: ids, the API check, tasks through options, and the vector version."""

import copy
import pickle
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tasks.environments.gymnasium_env import TaskEnv, TaskVectorEnv
from tasks.registry import InvalidDeclaration, UnknownName, families, get_split, make_batch

IDS = {
    "cheetah-velocity": "CheetahVelocity",
    "cheetah-direction": "CheetahDirection",
    "cheetah-negated-joints": "CheetahNegatedJoints",
    "ant-direction": "AntDirection",
    "ant-goal": "AntGoal",
    "ant-negated-joints": "AntNegatedJoints",
    "humanoid-direction": "HumanoidDirection",
    "walker-parameters": "WalkerParameters",
    "walker-mass": "WalkerMass",
    "hopper-mass": "HopperMass",
    "point-goal": "PointGoal",
    "point-dynamics": "PointDynamics",
}
POINT = "tasks.environments:offmap/PointGoal-v1"


@pytest.mark.filterwarnings("ignore:.*A Box observation space")
@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_gymnasium_accepts_every_family(family):
    environment = gymnasium.make(f"tasks.environments:offmap/{IDS[family.name]}-v1")
    assert environment.spec.max_episode_steps == family.horizon
    check_env(environment.unwrapped, skip_render_check=True)  # which needs OpenGL
    vector = gymnasium.make_vec(f"tasks.environments:offmap/{IDS[family.name]}-v1", num_envs=2)
    assert isinstance(vector.unwrapped, TaskVectorEnv)
    assert vector.single_observation_space == environment.observation_space


def test_the_time_limit_truncates():
    environment = gymnasium.make("tasks.environments:offmap/CheetahVelocity-v1", split="standard")
    environment.reset(seed=0)
    ends = [environment.step(np.zeros(6, np.float32))[2:4] for _ in range(200)]
    assert ends == [(False, False)] * 199 + [(False, True)]


def test_a_task_stays_until_another_is_given():
    environment = TaskEnv("cheetah-vel", split="hard", list_name="test")
    speeds = [row[0] for row in get_split("cheetah-velocity.hard").test]
    drawn = [environment.reset(seed=0 if first else None)[1]["task"] for first in (True, False, False, False)]
    assert len(set(drawn)) > 1
    for choice in (3, get_split("cheetah-velocity.hard").tasks("test")[3]):
        _, info = environment.reset(options={"task": choice})
        assert info["task"] == 3
        assert info["task_values"].tolist() == [speeds[3]]
    assert environment.reset()[1]["task"] == 3
    _, info = environment.reset(options={"task": 7.5})
    assert (info["task"], info["task_values"].tolist()) == (-1, [7.5])
    reward = environment.step(np.zeros(6, np.float32))[1]
    assert reward < -5
    environment.reset(options={"task": None})
    assert len({environment.reset()[1]["task"] for _ in range(5)}) > 1


def test_it_is_a_batch_of_one_row():
    environment = TaskEnv("ant-direction", split="ood")
    first, info = environment.reset(seed=4, options={"task": 2})
    batch = make_batch("ant-direction", 1)
    batch.set_tasks(np.array([get_split("ant-direction.ood").train[2]]))
    assert info["task"] == 2
    assert np.array_equal(first, batch.reset(np.arange(1), [np.random.default_rng(4)])[0])
    action = np.full(8, 0.3, np.float32)
    observation, reward, *_ = environment.step(action)
    step = batch.step(action[None])
    assert np.array_equal(observation, step.observations[0])
    assert reward == step.rewards[0]


@pytest.mark.parametrize(("choice", "given"), [
    (30, "index 30"), (-1, "index -1"), ([1.0, 2.0], "2 values"), ("ant", "a task of ant-goal"), ("fast", "'fast'"),
    ([[1.0]], r"\[\[1.0\]\]"),
])  # fmt: skip
def test_a_task_that_is_none(choice, given):
    environment = TaskEnv("cheetah-velocity", split="hard", list_name="test")
    choice = get_split("ant-goal.standard").tasks("test")[0] if choice == "ant" else choice
    with pytest.raises(InvalidDeclaration, match=rf"{given} given .* an index from 0 to 29"):
        environment.reset(options={"task": choice})


@pytest.mark.parametrize(("value", "said"), [(7, "angle = 7.0, allowed: 0.0 to 6.28"), (np.nan, "angle = nan")])
def test_a_task_out_of_its_range(value, said):
    with pytest.raises(InvalidDeclaration, match=f"task of point-goal: {said}"):
        TaskEnv("point-goal").reset(options={"task": [value]})


@pytest.mark.parametrize("action", [[0.1], [0.1] * 3, 0.1])
def test_an_action_of_another_width(action):
    environment = TaskEnv("point-goal")
    environment.reset(seed=0)
    with pytest.raises(InvalidDeclaration, match=r"\(row, action\) = \(1, 2\); given \(1,"):
        environment.step(np.float32(action))


def test_names_that_do_not_exist():
    with pytest.raises(UnknownName, match=r"cheetah-velocity\.hard"):
        TaskEnv("cheetah-velocity", split="hrad")
    with pytest.raises(InvalidDeclaration, match="no list 'tset'; it has train, test, test_id"):
        TaskEnv("cheetah-velocity", split="hard", list_name="tset")


def test_vector_rows_are_single_environments():
    vector = gymnasium.make_vec(POINT, num_envs=3, split="ood", max_episode_steps=4)
    observations, infos = vector.reset(seed=10, options={"task": [0, 5, None]})
    assert infos["task"][:2].tolist() == [0, 5]
    singles = [gymnasium.make(POINT, split="ood", max_episode_steps=4) for _ in range(3)]
    starts = [
        env.reset(seed=10 + row, options={"task": task}) for row, (env, task) in enumerate(zip(singles, (0, 5, None)))
    ]
    assert np.array_equal(observations, [start[0] for start in starts])
    assert infos["task"][2] == starts[2][1]["task"]
    generator = np.random.default_rng(0)
    for time in range(4):
        actions = generator.uniform(-1, 1, (3, 2)).astype(np.float32)
        observations, rewards, terminated, truncated, _ = vector.step(actions)
        alone = [env.step(action) for env, action in zip(singles, actions)]
        assert np.array_equal(observations, [step[0] for step in alone])
        assert np.array_equal(rewards, [step[1] for step in alone])
        assert truncated.tolist() == [time == 3] * 3
        assert not terminated.any()
    observations, rewards, _, truncated, infos = vector.step(actions)
    again = [env.reset() for env in singles]
    assert np.array_equal(observations, [start[0] for start in again]), "the next step resets, as gymnasium's vectors"
    assert not truncated.any()
    assert (rewards == 0).all()
    assert infos["task"].tolist() == [start[1]["task"] for start in again]
    assert vector.step(actions)[1].all()


def test_vector_rows_end_on_their_own():
    vector = TaskVectorEnv(4, "walker-parameters")
    vector.reset(seed=0)
    generator, ended, episodes = np.random.default_rng(0), np.zeros(4, bool), np.zeros(4)
    for _ in range(60):
        _, rewards, terminated, truncated, _ = vector.step(generator.uniform(-1, 1, (4, 6)).astype(np.float32))
        assert (rewards[ended] == 0).all()
        assert not terminated[ended].any()
        ended = terminated | truncated
        episodes += ended
    assert (episodes >= 2).all()


def test_a_list_of_tasks_needs_one_per_row():
    with pytest.raises(InvalidDeclaration, match="a list of 2 tasks given for 3 rows"):
        TaskVectorEnv(3, "point-goal").reset(options={"task": [0, 1]})


@pytest.mark.parametrize("given", [{"num_envs": 0}, {"num_envs": -1}, {"threads": 0}, {"max_episode_steps": 0}])
def test_a_vector_without_rows_steps_or_threads(given):
    with pytest.raises(InvalidDeclaration, match=f"{next(iter(given))} is .*; it has to be 1 or more"):
        TaskVectorEnv(**{"num_envs": 2, "family": "point-goal"} | given)


def copies(environment):
    """A deep copy of an environment, and one through a pickle."""
    return copy.deepcopy(environment), pickle.loads(pickle.dumps(environment))


@pytest.mark.parametrize("name", ["PointGoal", "CheetahVelocity", "AntGoal"])
def test_a_copy_in_the_middle_of_an_episode_goes_on_as_the_original_does(name):
    environment = gymnasium.make(f"tasks.environments:offmap/{name}-v1", max_episode_steps=6)
    environment.reset(seed=3)
    generator = np.random.default_rng(0)
    actions = generator.uniform(-1, 1, (9, *environment.action_space.shape)).astype(np.float32)
    for action in actions[:4]:
        environment.step(action)
    for other in (environment, *copies(environment)):
        following = [other.step(action)[:4] for action in actions[4:6]]
        following += [other.reset(), *(other.step(action) for action in actions[6:])]
        if other is environment:
            expected = following
        assert repr(following) == repr(expected)
    assert expected[1][3], "the time limit is copied too"


def test_copies_of_a_vector_go_on_alike_whenever_their_rows_began():
    vector = TaskVectorEnv(3, "walker-parameters")
    vector.reset(seed=0, options={"task": [0, 1, None]})
    generator = np.random.default_rng(0)
    actions = generator.uniform(-1, 1, (60, 3, 6)).astype(np.float32)
    begun = set()
    for number, step in enumerate(actions[:50]):
        ends = vector.step(step)[2]
        begun |= {number for _ in ends[ends]}
    assert len(begun) > 1, "rows have begun at different times"
    for other in (vector, *copies(vector)):
        following = [other.step(step) for step in actions[50:]]
        if other is vector:
            expected = following
        assert repr(following) == repr(expected)


def test_what_was_never_reset_can_be_copied():
    for other in copies(TaskEnv("point-goal")):
        assert other.reset(seed=1)[1]["task"] == TaskEnv("point-goal").reset(seed=1)[1]["task"]


def test_an_option_that_is_not_known_is_an_error():
    for environment in (TaskEnv("point-goal"), TaskVectorEnv(2, "point-goal")):
        with pytest.raises(InvalidDeclaration, match="no option taks; the one that it has is `task`"):
            environment.reset(options={"taks": 3})


def test_what_a_point_looks_like_follows_the_point_and_tells_no_task():
    environment = gymnasium.make(POINT, render_mode="rgb_array")
    images = []
    for task in (0, 5):
        environment.reset(seed=0, options={"task": task})
        images.append(environment.render())
    assert images[0].dtype == np.uint8
    assert np.array_equal(*images)
    environment.step(np.ones(2, np.float32))
    dot = np.argwhere((environment.render() == 0).all(-1)).mean(0)
    centre = (environment.render().shape[0] - 1) / 2
    assert dot[0] < centre < dot[1], "up and to the right"
    assert TaskEnv("point-goal").render() is None
    with pytest.raises(InvalidDeclaration, match="render_mode 'human' is not known; give rgb_array"):
        TaskEnv("point-goal", render_mode="human")


def test_a_body_is_rendered_or_the_error_says_what_is_missing():
    """MuJoCo chooses its OpenGL when it is imported, so in a process of its own."""
    code = (
        "import gymnasium; environment = gymnasium.make('tasks.environments:offmap/CheetahVelocity-v1', "
        "render_mode='rgb_array'); environment.reset(seed=0)\n"
        "from tasks.environments.rendering import RenderingUnavailable\n"
        "try: image = environment.render(); print(image.shape, image.dtype, image.std() > 5)\n"
        "except RenderingUnavailable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(320, 480, 3) uint8 True" or "OpenGL does not work here" in done.stdout
