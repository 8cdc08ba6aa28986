"""What a paper has room for: widths of columns and pages, and the type of figures and tables."""

from __future__ import annotations

from typing import NamedTuple

from suite.errors import UserError, nearest

POINTS = 72
"""Points in an inch, as PDF counts them."""

LEAST_TYPE = 7.0
"""Points: the smallest type of figures and tables, which venues ask for at the printed size."""

NARROWEST, WIDEST = 2.5, 12.0
"""Inches that a figure may be wide."""


class Layout(NamedTuple):
    """Room in inches.

    Attributes:
        column: The width of a column: of a figure with one panel, and of a narrow table.
        page: The width of the text: of other figures and tables.
        height: The height of the text, which no figure and no table exceeds.
        serif: Whether figures are set in a serif type, as the text of most papers is.
        siunitx: Whether numbers of tables are left to the LaTeX package siunitx to print.
    """

    column: float = 3.4
    page: float = 7.0
    height: float = 9.0
    serif: bool = False
    siunitx: bool = False

    @property
    def has_columns(self) -> bool:
        """Whether the text stands in two columns, so that what is as wide as the page is a float of its own kind."""
        return self.page > self.column


ANYWHERE = Layout()
"""Two columns of a journal."""

VENUES = {"neurips": Layout(5.5, 5.5, 9.0), "icml": Layout(3.25, 6.75, 9.0), "jmlr": Layout(6.0, 6.0, 8.5)}
"""By the venue whose style file says so."""


def layout(venue: str | None = None, width: float | None = None, serif: bool = False, siunitx: bool = False) -> Layout:
    """The layout of a venue, or one in which everything is exactly so many inches wide; `ANYWHERE` for neither.

    Raises:
        UserError: there is no such venue, no figure can be so wide, or both are given.
    """
    if venue is not None and width is not None:
        raise UserError("--for and --width both say how wide figures and tables are; give one of them")
    if venue is not None and venue.lower() not in VENUES:
        raise UserError(
            f"there is no layout for {venue!r}: {nearest(venue.lower(), VENUES)} (--width takes any other width)"
        )
    if width is not None and not NARROWEST <= width <= WIDEST:
        raise UserError(f"--width {width:g}: figures are between {NARROWEST:g} and {WIDEST:g} inches wide")
    chosen = VENUES[venue.lower()] if venue else Layout(width, width) if width else ANYWHERE
    return chosen._replace(serif=serif, siunitx=siunitx)
