"""Figures: numbers in, pictures out, in one style.

The only place that imports matplotlib and Plotly.
"""
