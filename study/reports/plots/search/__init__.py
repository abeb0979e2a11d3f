"""The figures of a search, each described once and drawn twice: with Plotly for a screen, as a picture for paper."""
