"""Pictures of splits hold what they should, and films are real animations or say why they cannot be made."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tasks.pictures import split
from tasks.registry import get_family, get_split, splits


def drawn(name):
    axes = Figure().subplots()
    split.draw_split(get_split(name), axes)
    return axes


@pytest.mark.parametrize("split", splits(), ids=lambda split: split.full_name)
def test_every_split_can_be_drawn(split, tmp_path):
    path = split.save_split(split, tmp_path / "pictures" / "split.png")
    pixels = np.asarray(Image.open(path).convert("L"))
    assert (pixels < 250).mean() > 0.005, "an empty picture"


def test_a_number_line_shows_every_speed_over_the_training_range():
    axes = drawn("cheetah-velocity.hard")
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "test (30)", "test, training distribution (30)", "training (100)",
    ]  # fmt: skip
    assert sorted(axes.lines[0].get_xdata()) == sorted(row[0] for row in get_split("cheetah-velocity.hard").test)
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((0.0, 1.5), abs=0.02)
    assert axes.get_xlabel() == "target speed (m/s)"


def test_an_arc_leaves_the_unseen_quadrant_open():
    wedge = drawn("ant-direction.ood").patches[0]
    assert (wedge.theta1 % 360, wedge.theta2 % 360) == pytest.approx((0, 270), abs=4)


def test_a_grid_has_a_line_per_task_and_a_column_per_joint():
    assert drawn("ant-negated-joints.ood").images[0].get_array().shape == (35 + 15 + 15, 8, 3)
    assert drawn("cheetah-negated-joints.ood").images[0].get_array().shape == (20, 6, 3)


def walk(name):
    family = get_family(name)
    generator = np.random.default_rng(0)
    split = next(split for split in splits() if split.family == name)
    return split.roll_out(
        family, split.train[0], lambda _: generator.uniform(-1, 1, (1, family.action_dim)).astype(np.float32)
    )


def test_positions_of_an_episode():
    assert walk("cheetah-velocity").shape == (201, 9)
    assert 2 < len(walk("walker-parameters")) < 100, "a random walker falls"


def run_alone(code, folder, backend):
    """MuJoCo chooses its OpenGL when it is imported, so films are made in a process of their own."""
    environment = {"MUJOCO_GL": backend, "PYTHONPATH": ":".join(filter(None, sys.path))}
    command = [sys.executable, "-c", "import numpy as np, pathlib\nfrom tasks.pictures import split as render\n" + code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment).stdout


def test_a_film_moves(tmp_path):
    np.save(tmp_path / "positions.npy", walk("ant-goal")[:6])
    code = (
        "try: split.record_video('ant-goal', np.load('positions.npy'), pathlib.Path('ant.gif'), width=64, height=48)\n"
        "except split.RenderingUnavailable as reason: print(reason)"
    )
    reason = run_alone(code, tmp_path, "egl")
    if reason:
        pytest.skip(reason)
    film = Image.open(tmp_path / "ant.gif")
    assert film.size == (64, 48)
    assert film.n_frames == 6
    frames = []
    for index in (0, 5):
        film.seek(index)
        frames.append(np.asarray(film.convert("RGB"), dtype=int))
    assert frames[0].std() > 5
    assert np.abs(frames[0] - frames[1]).max() > 20


def test_films_that_cannot_be_made(tmp_path):
    with pytest.raises(split.RenderingUnavailable, match="point-goal has no body"):
        walk("point-goal")
    with pytest.raises(split.RenderingUnavailable, match="point-goal has no body"):
        split.record_video("point-goal", np.zeros((2, 2)), tmp_path / "point.gif")
    with pytest.raises(ValueError, match=r"written as .gif, not .mp4: film.mp4"):
        split.record_video("ant-goal", np.zeros((2, 15)), tmp_path / "film.mp4")


def test_without_opengl_the_error_says_what_to_install(tmp_path):
    code = (
        "try: split.record_video('ant-goal', np.zeros((2, 15)), pathlib.Path('film.gif'))\n"
        "except split.RenderingUnavailable as error: print(error)"
    )
    message = run_alone(code, tmp_path, "disabled")
    assert "MUJOCO_GL=egl" in message
    assert "libegl1" in message
