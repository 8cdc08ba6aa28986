"""Figures: each function draws one split on the axes it is given, called as `figure(results, split=..., ax=...)`.

Figures read results and their series alone, and give the axes the entries of a legend (`ax.legend()`). A split is one
panel: `canvas.sheet` puts several on one page, `catalogue.FIGURES` lists all figures.
"""
