"""Tells which data are handwritten digits in MNIST's form."""

import numpy as np

DIGITS = frozenset("0123456789")
SIDE = 28  # of MNIST's images
RING = 2  # pixels at the border of MNIST's form, in which there is next to nothing
MOST_IN_RING = 0.01  # of all ink; MNIST has 0.003 there
LOOKED_AT = 1_000  # images


def is_handwriting(inputs: np.ndarray, class_names: tuple[str, ...]) -> bool:
    """Return whether rows (n, …) with classes of these names are handwritten digits in MNIST's form.

    All classes are named by a digit, and images have 28×28 pixels with ink, next to none of it in the outermost ring.
    Fashion-MNIST's clothes, whose longer side is 28 pixels, reach the border.
    """
    if inputs.dtype != np.uint8 or inputs.shape[1:] != (SIDE, SIDE) or not set(class_names) <= DIGITS:
        return False
    ink = int(inputs[:LOOKED_AT].sum(dtype=np.int64))
    inside = int(inputs[:LOOKED_AT, RING:-RING, RING:-RING].sum(dtype=np.int64))
    return ink > 0 and ink - inside <= MOST_IN_RING * ink
