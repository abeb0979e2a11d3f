"""The figures of a search, each described once and drawn twice: for the pointer with Plotly, for paper as a picture."""

from study.search_figures.drawing import library
from study.search_figures.fields import contour, importances, parallel, slices
from study.search_figures.trials import curves, distribution, history

__all__ = ["contour", "curves", "distribution", "history", "importances", "library", "parallel", "slices"]
