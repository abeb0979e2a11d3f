"""Draws digits in strokes from a seed, for use when no picture is at hand."""

import numpy as np
from scipy import ndimage

from study.base.errors import ConfigError

# Each stroke is a chain of cubic Bézier curves (every third point lies on it) in a 10 by 14 box, y downwards.
STROKES = {
    0: ["5,0 1.5,0 0,4 0,7 0,11 2,14 5,14 8,14 10,11 10,7 10,3 8,0 5,0"],
    1: ["4,2 4.7,1.5 5.4,0.8 6,0 6,5 6,9 5.8,14"],
    2: ["0.5,4 0.5,-1 10,-1.5 9.5,4 9,8 3,11 0.5,14 3,14 7,14 10,13.8"],
    3: ["1,1.5 4,-0.8 9,0 8.5,3.5 8,6.5 5,6.8 4,6.8 7,6.8 10,8 9.8,10.5 9.5,14.5 3,15 0.5,12.5"],
    4: ["7,0 5,4 2,7 0,9.5 3,9.5 7,9.5 10,9.3", "7.3,4 7.3,8 7.2,11 7,14"],
    5: ["9,0.3 6,0.3 4,0.4 2,0.5 1.8,2.5 1.5,4.5 1.2,6.5 5,4 10,5.5 9.6,9.5 9.2,14.5 3,15 0.3,12.5"],
    6: ["7.5,0.3 3,2 0.3,6 0.5,10 0.8,15 9,15.5 9.3,10.5 9.5,6.5 3,6 0.7,10"],
    7: ["0.3,0.6 3,0.7 7,0.6 9.8,0.3 7,5 5,9 4,14"],
    8: ["8.5,2.5 7,-1 1,-0.5 1.5,3 2,6.5 9.5,7 9.5,10.8 9.5,15 0.5,15 0.5,10.8 0.5,7 8.5,6 8.5,2.5"],
    9: ["9.2,3.5 8,-1 0.5,-0.5 0.7,4.2 1,8.5 8.5,8 9.2,3.5 9,7 8.5,11 8,14"],
}


def draw(label: int, seed: int, side: int = 200) -> np.ndarray:
    """Return a digit written with a pen, dark on light: (side, side) of uint8, the same for the same seed."""
    if label not in STROKES:
        raise ConfigError("no such digit", expected="0 to 9", got=label)
    rng = np.random.default_rng([seed, label])
    slant, aspect = rng.uniform(-0.1, 0.3), rng.uniform(0.8, 1.1)
    height, width = rng.uniform(0.5, 0.75) * side, rng.uniform(0.03, 0.08) * side
    middle = side / 2 + rng.uniform(-0.06, 0.06, 2) * side
    t = np.linspace(0, 1, 3 * side)[:, None]
    free = np.ones((2 * side, 2 * side), bool)
    for stroke in STROKES[label]:
        points = np.array([point.split(",") for point in stroke.split()], float)
        points = points - (5, 7) + rng.normal(0, 0.2, points.shape)
        points = points @ np.array([[aspect, 0], [-slant, 1]]) * (height / 14) + middle
        for a, b, c, d in zip(points[0::3], points[1::3], points[2::3], points[3::3], strict=False):
            x, y = ((1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d).T * 2
            free[y.astype(int), x.astype(int)] = False
    # Drawn at twice the resolution, so that averaging four pixels makes soft edges.
    ink = np.clip(width + 0.5 - ndimage.distance_transform_edt(free), 0, 1).reshape(side, 2, side, 2).mean(axis=(1, 3))
    return np.rint(245 - 215 * ink).astype(np.uint8)
