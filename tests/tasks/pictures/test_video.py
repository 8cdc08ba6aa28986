"""Films show episodes side by side with their time and return, in the format that their name says."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tasks.errors import UserError
from tasks.pictures import video
from tasks.registry import get_family


def episode(name, shades, reward=-1.0):
    images = [np.full((40, 201, 3), shade, np.uint8) for shade in shades]
    return video.Episode(name, images, np.full(len(shades) - 1, reward))


def frames_of(*episodes, dt=0.05):
    return list(video.frames(episodes, "MIER on point-goal.ood, task 2 of test: angle 5.105 rad", dt))


def test_frames_stand_side_by_side_and_a_shorter_episode_stays_where_it_ended():
    frames = frames_of(episode("before", (10, 20, 30)), episode("after", (40, 50)))
    assert len(frames) == 3
    assert len({frame.shape for frame in frames}) == 1
    assert [frame[-2, 100, 0] for frame in frames] == [10, 20, 30]
    assert [frame[-2, 300, 0] for frame in frames] == [40, 50, 50]
    assert all(size % 2 == 0 for size in frames[0].shape[:2])


def test_the_return_so_far_and_the_time_are_written():
    one = episode("before", (0, 0, 0, 0), reward=-1000.25)
    assert video._state(one, 0, 0.05) == "0.00 s, return 0.0"
    assert video._state(one, 2, 0.05) == "0.10 s, return \u22122,000.5"
    first, second = frames_of(one)[:2]
    assert (first[:-41] != second[:-41]).any()


@pytest.mark.parametrize(
    ("family", "values", "words"),
    [
        ("cheetah-velocity", (2.75,), "target speed 2.75 m/s"),
        ("ant-goal", (1.0, -0.5), "goal 1 -0.5 m"),
        ("cheetah-negated-joints", (1, -1, 1, 1, 1, 1), "joint signs 1 -1 1 1 1 1"),
    ],
)
def test_a_task_in_words(family, values, words):
    assert video.task_words(get_family(family), values) == words


def test_long_parameters_are_counted():
    family = get_family("walker-parameters")
    text = video.task_words(family, np.ones(family.parameter_dim))
    assert "friction (24 values)" in text
    assert len(text) < 200


def test_a_gif_moves_in_real_time(tmp_path):
    path = video.write_film(frames_of(episode("before", (10, 200, 90))), 0.05, tmp_path / "films" / "film.gif")
    film = Image.open(path)
    assert (film.n_frames, film.info["duration"]) == (3, 50)
    film.seek(1)
    assert abs(int(np.asarray(film.convert("RGB"))[-5, 100, 0]) - 200) < 8


def test_a_step_of_a_whole_second_is_seen_for_less(tmp_path):
    path = video.write_film(frames_of(episode("before", (10, 200)), dt=1.0), 1.0, tmp_path / "film.gif")
    assert Image.open(path).info["duration"] == 250


def fake_encoder(folder, monkeypatch, code):
    program = folder / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_encoder_is_given_every_frame_and_its_size(tmp_path, monkeypatch):
    fake_encoder(tmp_path, monkeypatch, "open(sys.argv[-1], 'w').write(f'{sys.argv} {len(sys.stdin.buffer.read())}')")
    frames = frames_of(episode("before", (10, 20, 30)))
    text = video.write_film(frames, 0.05, tmp_path / "film.mp4").read_text()
    height, width = frames[0].shape[:2]
    assert f"'{width}x{height}', '-r', '20'" in text
    assert text.endswith(f" {3 * height * width * 3}")


def test_an_encoder_that_fails_is_no_traceback(tmp_path, monkeypatch):
    fake_encoder(tmp_path, monkeypatch, "sys.stdin.buffer.read(); sys.exit('Unknown encoder libx264')")
    with pytest.raises(UserError, match=r"failed \(Unknown encoder libx264\); give film.gif"):
        video.write_film(frames_of(episode("before", (10, 20))), 0.05, tmp_path / "film.mp4")


def test_films_that_cannot_be_written_say_what_can(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"written as .mp4 or .gif"):
        video.require_writable(tmp_path / "film.avi")
    monkeypatch.setattr(video, "encoder", lambda: None)
    with pytest.raises(UserError, match=r"install ffmpeg or `pip install 'offmap\[video\]'`, or give film.gif"):
        video.require_writable(tmp_path / "film.mp4")


def test_without_opengl_the_error_says_what_to_install():
    """MuJoCo chooses its OpenGL when it is imported, so this takes a process of its own."""
    code = (
        "from tasks.environments.rendering import RenderingUnavailable\n"
        "from tasks.registry import make_batch\n"
        "try: make_batch('ant-goal', 1).image(0)\n"
        "except RenderingUnavailable as error: print(error)"
    )
    environment = {"MUJOCO_GL": "disabled", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "does not work here (MUJOCO_GL=disabled)" in done.stdout
    assert "libegl1" in done.stdout
    assert "Error" not in done.stdout
