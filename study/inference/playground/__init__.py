"""A page to draw on, answered by any trained networks."""
