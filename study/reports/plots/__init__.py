"""Figures: numbers in, pictures out, in one style.

The only import of matplotlib and Plotly.
"""
