"""Serves a page to draw on; trained networks read the drawing: what is on offer, what is open, and the server."""
