"""The font of common letters draws as the whole one does."""

import numpy as np
import pytest
from matplotlib import style as looks
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports import style
from reports.figures.letters import COMMON, common_letters
from tasks.pictures.look import LOOK

WORDS = "AVATAR To fi ffl \u22123.2 [0.39, 0.45] \u03c0 5 \u03c9"


def pixels(text, fonts):
    with looks.context(LOOK | {"font.family": fonts}, after_reset=True):
        figure = Figure(figsize=(3, 0.5))
        figure.text(0.02, 0.3, text, fontsize=8)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize(
    "text", [WORDS, *("".join(map(chr, COMMON[start:][:60])) for start in range(0, len(COMMON), 60))]
)
def test_text_is_the_same_to_the_pixel_as_in_the_whole_font(text):
    text = text.replace("$", "S")
    whole = pixels(text, [style.FONT])
    assert whole.min() < 128, "nothing was drawn"
    np.testing.assert_array_equal(pixels(text, [common_letters(), style.FONT]), whole)


def test_letters_that_are_not_common_come_from_the_whole_font():
    assert ord(WORDS[-1]) not in COMMON
    assert all(ord(letter) in COMMON for letter in WORDS[:-1])
