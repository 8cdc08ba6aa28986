"""The one look of all pictures: colours of text and grid, sizes and lines, as matplotlib's settings.

`offmap tasks render` and reports draw with it, over matplotlib's own defaults: nothing of the user's settings counts.
"""

from __future__ import annotations

from typing import Any

INK = "#262626"
"""Text and axes."""

GRID = "#D4D4D4"

FONT = "DejaVu Sans"
"""Matplotlib brings it along."""

LOOK: dict[str, Any] = {
    "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "grid.color": GRID, "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.7, "grid.linewidth": 0.5, "hatch.linewidth": 0.5,
    "figure.facecolor": "none", "axes.facecolor": "none", "font.family": FONT, "font.size": 7, "axes.labelsize": 7,
    "axes.titlesize": 7.5, "axes.titlelocation": "left", "legend.fontsize": 7, "legend.frameon": False,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "axes.labelpad": 2.5, "lines.linewidth": 1.3,
    "lines.markersize": 3.8, "lines.solid_capstyle": "round", "patch.edgecolor": "white",
    "patch.force_edgecolor": True, "patch.linewidth": 0.8, "xtick.minor.size": 3.2, "ytick.minor.size": 3.2,
    "xtick.minor.width": 0.8, "ytick.minor.width": 0.8, "axes.titley": 1.0,
    "svg.hashsalt": "offmap", "svg.fonttype": "path", "pdf.fonttype": 42, "figure.dpi": 100,
}  # fmt: skip
