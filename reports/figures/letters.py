"""The font of figures without the letters that hardly any figure shows, so that PDFs are quick to write."""

from __future__ import annotations

import atexit
import tempfile
from functools import lru_cache
from pathlib import Path

from fontTools import subset
from matplotlib import font_manager

from reports import style

COMMON = (*range(0x20, 0x7F), *range(0xA0, 0x180), *map(ord, "Δαβγθλμπσ–—‘’“”…→−×≤≥"))
"""Code points of names, numbers and words of figures; of others `style.FONT` itself has to be asked."""

NAME = "offmap common letters"


@lru_cache(maxsize=1)
def common_letters() -> str:
    """The name of a font that draws the `COMMON` letters as `style.FONT` does; matplotlib has it from now on.

    A PDF embeds what it shows of a font, and cutting that out of all that the font has takes four times as long.
    """
    options = subset.Options(layout_features=["*"], legacy_kern=True, glyph_names=True, notdef_outline=True)
    options.drop_tables += ["FFTM"]  # a time stamp
    folder = tempfile.TemporaryDirectory(prefix="offmap-")
    atexit.register(folder.cleanup)  # matplotlib reads the file whenever it writes a PDF
    path = Path(folder.name) / "letters.ttf"
    with subset.load_font(font_manager.findfont(style.FONT), options) as font:
        cut = subset.Subsetter(options)
        cut.populate(unicodes=COMMON)
        cut.subset(font)
        for record in font["name"].names:
            if record.nameID == FAMILY:
                record.string = NAME
        font.save(path)
    font_manager.fontManager.addfont(path)
    return NAME


FAMILY = 1
"""The record of a font that holds the name of its family."""
