"""Every split has a picture, in the form of its parameters, whose legend names its lists."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tasks.pictures import split as pictures
from tasks.registry import get_split, splits


@pytest.mark.parametrize("split", splits(), ids=lambda split: split.full_name)
def test_every_split_can_be_drawn(split, tmp_path):
    path = pictures.save_split(split, tmp_path / "pictures" / "split.png")
    picture = Image.open(path)
    assert picture.size == tuple(round(inches * pictures.DOTS_PER_INCH) for inches in pictures.SIZE)
    above_the_legend = np.asarray(picture.convert("RGB"), dtype=int)[: -picture.height // 8]
    is_coloured = above_the_legend.max(axis=2) - above_the_legend.min(axis=2) > 40
    assert is_coloured.sum() > 100, "no task is drawn"


def test_the_same_split_gives_the_same_bytes(tmp_path):
    one, two = (pictures.save_split(get_split("point-goal.ood"), tmp_path / f"{n}.png").read_bytes() for n in (1, 2))
    assert one == two


def test_the_picture_says_what_shifts_and_what_each_colour_means():
    axes = Figure().subplots()
    entries = pictures.draw_split(get_split("cheetah-velocity.hard"), axes)
    assert axes.get_title() == "cheetah-velocity.hard (out of distribution)"
    assert [entry.get_label() for entry in entries] == ["training tasks", "test_id", "test tasks"]
    assert len({entry.get_facecolor() for entry in entries}) == 3


def test_test_id_that_is_the_training_list_is_not_drawn_twice():
    named = {split.full_name for split in splits() if split.test_id_is_train}
    assert named
    for name in named:
        entries = pictures.draw_split(get_split(name), Figure().subplots())
        assert "test_id" not in [entry.get_label() for entry in entries], name


def test_it_has_the_look_of_reports(tmp_path, monkeypatch):
    import matplotlib

    from reports.figures.canvas import house_style
    from tasks.pictures.look import LOOK

    with house_style():
        assert {name: matplotlib.rcParams[name] for name in LOOK} == LOOK | {"font.family": [LOOK["font.family"]]}
    seen = []
    monkeypatch.setattr(pictures, "draw_split", lambda *_: seen.append(dict(matplotlib.rcParams)) or [])
    pictures.save_split(get_split("point-goal.ood"), tmp_path / "a.png")
    assert {name: seen[0][name] for name in LOOK} == LOOK | {"font.family": [LOOK["font.family"]]}
