"""Videos show the positions that a policy goes through, or say what is missing."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tasks.environments import rendering
from tasks.environments.rendering import RenderingUnavailable
from tasks.pictures import video
from tasks.registry import get_family, splits


def walk(name):
    family = get_family(name)
    generator = np.random.default_rng(0)
    split = next(split for split in splits() if split.family == name)
    return video.roll_out(
        family, split.train[0], lambda _: generator.uniform(-1, 1, (1, family.action_dim)).astype(np.float32)
    )


def test_positions_of_an_episode():
    assert walk("cheetah-velocity").shape == (201, 9)
    assert 2 < len(walk("walker-parameters")) < 100, "a random walker falls"


def run_alone(code, folder, backend):
    """MuJoCo chooses its OpenGL when it is imported, so videos are made in a process of their own."""
    environment = {"MUJOCO_GL": backend, "PYTHONPATH": ":".join(filter(None, sys.path))}
    head = (
        "import numpy as np, pathlib\n"
        "from tasks.environments.rendering import RenderingUnavailable\n"
        "from tasks.pictures.video import record_video\n"
    )
    command = [sys.executable, "-c", head + code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment).stdout


def test_a_video_moves(tmp_path):
    np.save(tmp_path / "positions.npy", walk("ant-goal")[:6])
    code = (
        "try: record_video('ant-goal', np.load('positions.npy'), pathlib.Path('ant.gif'))\n"
        "except RenderingUnavailable as reason: print(reason)"
    )
    reason = run_alone(code, tmp_path, "egl")
    if reason:
        pytest.skip(reason)
    gif = Image.open(tmp_path / "ant.gif")
    assert gif.size == (rendering.WIDTH, rendering.HEIGHT)
    assert gif.n_frames == 6
    frames = []
    for index in (0, 5):
        gif.seek(index)
        frames.append(np.asarray(gif.convert("RGB"), dtype=int))
    assert frames[0].std() > 5
    assert np.abs(frames[0] - frames[1]).max() > 20


def test_videos_that_cannot_be_made(tmp_path):
    with pytest.raises(RenderingUnavailable, match="point-goal has no body"):
        walk("point-goal")
    with pytest.raises(RenderingUnavailable, match="point-goal has no body"):
        video.record_video("point-goal", np.zeros((2, 2)), tmp_path / "point.gif")
    with pytest.raises(ValueError, match=r"written as .gif, not .mp4: film.mp4"):
        video.record_video("ant-goal", np.zeros((2, 15)), tmp_path / "film.mp4")


def test_without_opengl_the_error_says_what_to_install(tmp_path):
    code = (
        "try: record_video('ant-goal', np.zeros((2, 15)), pathlib.Path('film.gif'))\n"
        "except RenderingUnavailable as error: print(error)"
    )
    message = run_alone(code, tmp_path, "disabled")
    assert "MUJOCO_GL=egl" in message
    assert "libegl1" in message
