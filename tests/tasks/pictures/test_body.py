"""The joints that vary stand where they are on the body, in the colours of the lists that vary them."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from tasks.environments.rendering import RenderingUnavailable
from tasks.pictures import body, pose
from tasks.pictures.rendering import body_model
from tasks.pictures.task_lists import COLOURS
from tasks.registry import get_family, get_split, splits

BOTH, TEST = frozenset({"train", "test"}), frozenset({"test"})


def test_the_joints_are_those_of_the_paper():
    cheetah = body.joints(get_split("cheetah-negated-joints.ood"))
    names = ["bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"]
    assert [joint.name for joint in cheetah] == names
    assert [joint.lists for joint in cheetah] == [BOTH] * 5 + [TEST], "the front foot is negated in test tasks only"
    ant = body.joints(get_split("ant-negated-joints.ood"))
    assert [joint.lists for joint in ant] == [BOTH] * 7 + [TEST]
    walker = body.joints(get_split("walker-parameters.ood"))
    assert [joint.lists for joint in walker] == [BOTH] * 6


def test_only_splits_that_vary_joints_have_a_body_picture():
    having = {split.full_name.partition(".")[0] for split in splits() if body.has_body_picture(split)}
    assert having == {"cheetah-negated-joints", "ant-negated-joints", "walker-parameters"}
    with pytest.raises(RenderingUnavailable, match="point-dynamics has no body"):
        body.joints(get_split("point-dynamics.ood"))
    with pytest.raises(RenderingUnavailable, match="ant-direction varies no joints"):
        body.joints(get_split("ant-direction.ood"))


def test_joints_in_one_place_share_a_mark():
    marked = [body.Joint(str(number), lists) for number, lists in enumerate((BOTH, BOTH, TEST, frozenset()))]
    places = body._places(marked, np.array([[5.0, 5.0], [8.0, 9.0], [8.0, 9.0], [8.0, 9.0]]))
    assert places == {(BOTH, 5.0, 5.0): [1, 2], (TEST, 8.0, 9.0): [3]}


def offmap(backend, *arguments):
    """The command line in a process of its own: MuJoCo chooses its OpenGL when it is imported."""
    environment = os.environ | {"MUJOCO_GL": backend, "PYTHONPATH": ":".join(filter(None, sys.path))}
    command = [sys.executable, "-m", "suite.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


def test_the_picture_shows_a_grey_body_and_both_colours(tmp_path):
    name = "ant-negated-joints.ood"
    done = offmap("egl", "tasks", "render", name, "--out", tmp_path)
    if done.stderr.startswith("no picture of the body"):
        pytest.skip(done.stderr)
    assert done.stdout.split() == [str(tmp_path / f"{name}{ending}") for ending in (".png", ".body.png")]
    pixels = np.asarray(Image.open(tmp_path / f"{name}.body.png").convert("RGB"), dtype=int)
    near = {key: np.abs(pixels - 255 * np.array(to_rgb(COLOURS[key]))).max(axis=2) < 3 for key in ("train", "test")}
    assert near["test"].sum() > 1.2 * near["train"].sum() > 1000, "seven halves of each, and one whole of the test"
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    grey = (spread < 20) & (pixels.max(axis=2) > 60) & (pixels.max(axis=2) < 200)
    assert grey.mean() > 0.03, "the body"


def test_anchors_lie_on_the_body(tmp_path):
    code = (
        "from tasks.pictures import pose as b\nfrom tasks.pictures.rendering import body_model\n"
        "from tasks.environments.rendering import RenderingUnavailable\nfrom tasks.registry import get_family\n"
        "try: image, at, *_ = b.render(body_model(get_family('ant-goal')))\n"
        "except RenderingUnavailable as reason: print(reason); raise SystemExit\n"
        "assert at.shape == (8, 2)\n"
        "print(*[int(image[int(y), int(x)].min() < 255) for x, y in at])"
    )
    environment = os.environ | {"MUJOCO_GL": "egl", "PYTHONPATH": str(Path(pose.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    if done.stdout.startswith("OpenGL"):
        pytest.skip(done.stdout)
    assert done.stdout.split() == ["1"] * 8


def test_without_opengl_the_split_is_drawn_and_the_reason_given(tmp_path):
    done = offmap("disabled", "tasks", "render", "cheetah-negated-joints.ood", "--out", tmp_path)
    assert "no picture of the body of cheetah-negated-joints.ood: OpenGL does not work here" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cheetah-negated-joints.ood.png"]


def test_a_tuning_split_marks_fewer_joints_and_one_number_for_all_masses_marks_none():
    tuning = body.joints(get_split("cheetah-negated-joints.tuning"))
    assert [joint.lists for joint in tuning] == [BOTH] * 4 + [TEST, frozenset()]
    assert not body.has_body_picture(get_split("hopper-mass.tavt"))
    with pytest.raises(RenderingUnavailable, match="varies no joints; `offmap tasks render` draws its tasks"):
        body.joints(get_split("hopper-mass.tavt"))


def posed(family):
    model = body_model(get_family(family))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def test_a_walkers_legs_are_apart_and_no_other_limbs_are_turned():
    model, data = posed("walker-parameters")
    assert pose._set_limbs_apart(model, data) == ", limbs turned apart"
    mujoco.mj_forward(model, data)
    right, left = data.xanchor[model.actuator_trnid[:, 0]].reshape(2, 3, 3)
    apart = np.linalg.norm(right - left, axis=1)
    assert apart[0] == pytest.approx(0, abs=1e-6), "both hang from the hip"
    assert (apart[1:] > 0.3).all()
    limited = model.jnt_limited == 1
    places = data.qpos[model.jnt_qposadr[limited]]
    low, high = model.jnt_range[limited].T
    assert ((low <= places) & (places <= high)).all()
    for family in ("cheetah-negated-joints", "ant-negated-joints"):
        model, data = posed(family)
        before = data.qpos.copy()
        assert pose._set_limbs_apart(model, data) == ""
        np.testing.assert_array_equal(data.qpos, before)


@pytest.mark.parametrize("family", ["cheetah-negated-joints", "ant-negated-joints"])
def test_arrows_point_where_an_action_moves_the_limb(family):
    model, data = posed(family)
    eye = SimpleNamespace(pos=(0.2, -3.0, 2.0), forward=(0.0, 0.8, -0.6), up=(0.0, 0.6, 0.8), frustum_near=0.1,
                          frustum_top=0.04)  # fmt: skip
    arrows = pose._motions(model, data, (eye, eye))
    assert arrows.shape == (model.nu, 2, pose.POINTS, 2)
    for actuator, (forth, back) in enumerate(arrows):
        joint = int(model.actuator_trnid[actuator, 0])
        dof, limb = int(model.jnt_dofadr[joint]), int(model.jnt_bodyid[joint])
        moved = mujoco.MjData(model)
        moved.ctrl[actuator] = 1.0
        mujoco.mj_forward(model, moved)
        moved.qpos[model.jnt_qposadr[joint]] += 1e-3 * np.sign(moved.qfrc_actuator[dof])
        before = pose._project(data.xipos[limb][None], (eye, eye))[0]
        mujoco.mj_forward(model, moved)
        step = pose._project(moved.xipos[limb][None], (eye, eye))[0] - before
        assert (forth[-1] - forth[0]) @ step > 0
        assert (back[-1] - back[0]) @ step < 0
