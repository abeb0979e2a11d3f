"""Serves a page to draw on; trained networks read the drawing."""
