"""Scores how unlike the training digits a picture is, in numbers and in words; pure numpy.

A network answers every picture with one of its classes, even noise and letters. So pictures are described by the
directions of their strokes, cell by cell, and compared with what is usual in each class: the nearest class counts.
The distance is given as a quantile of the distances of training images that the comparison has not seen.
"""

import io
from dataclasses import dataclass, fields

import numpy as np

from study.base.errors import DataError

# A doubt this high gets a reason, as do 1.5 % of the training images that the comparison has not seen.
DOUBTFUL = 0.985
BLANK, FAINT, HEAVY, OFF_CENTRE = "blank", "almost no ink", "mostly ink", "far off centre"
UNLIKE = "unlike any training digit"

DIRECTIONS = 8
CELLS = 7  # by side
COMPONENTS = 40
HELD_OUT = 5  # every fifth image is for the calibration
BLANK_BELOW = 8  # a picture whose brightest pixel is below this shows nothing
PIXELS_TOO_FAR = 2  # beyond the farthest training image
AT_ONCE = 1_000  # images
STORED = np.float16  # for the axes, which take most of a reference's bytes


@dataclass(frozen=True, eq=False)
class Reference:
    """Describes what is usual among training images of (height, width) pixels, for each of c classes.

    Each class has the `means` (c, f) of its f features, k principal `axes` (c, k, f), the `variances` (c, k) along
    them, and the `rest` (c,), the sum of the variance across them. `distances` (1001,) are the quantiles of the
    held-out images' distances. Ink is the mean pixel from 0 to 1: `ink` (2,) is the least and the most of it. `centre`
    (2,) is the average centre of the ink, in pixels, and `spread` () is the largest distance from it.
    """

    shape: np.ndarray
    means: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    rest: np.ndarray
    distances: np.ndarray
    ink: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    def to_bytes(self) -> bytes:
        """Return the reference as the bytes of an ``.npz`` file, which has less than 500 kB."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{**vars(self), "axes": self.axes.astype(STORED)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Reference":
        """Return the reference that `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            read = {field.name: arrays[field.name] for field in fields(cls)}
        return cls(**{**read, "axes": read["axes"].astype(np.float32)})


def fit(images: np.ndarray, labels: np.ndarray) -> Reference:
    """Return what is usual among training images (n, height, width) of uint8 with labels (n,).

    A fifth of the images is kept for the calibration. Raises DataError if no class has four of the others.
    """
    # By chance, with a fixed seed: classes may come in turn, and every fifth image could be a class of its own.
    held_out = np.random.default_rng(0).permutation(len(images)) % HELD_OUT == HELD_OUT - 1
    features, own = _features(images[~held_out]), labels[~held_out]
    classes = [label for label in np.unique(own) if (own == label).sum() >= 4]
    if not classes or not held_out.any():
        raise DataError("too few images to say what is usual among them", expected="five of a class", got=len(images))
    components = min(COMPONENTS, min(int((own == label).sum()) for label in classes) // 3)
    parts = [_principal(features[own == label], components) for label in classes]
    means, axes, variances, rest = (np.stack(part).astype(np.float32) for part in zip(*parts, strict=True))
    ink, centres = _ink(images), _centres(images)
    centre = centres.mean(axis=0)
    reference = Reference(
        shape=np.array(images.shape[1:]),
        means=means,
        axes=axes.astype(STORED).astype(np.float32),  # as it will be read back
        variances=variances,
        rest=rest,
        distances=np.zeros(1),
        ink=np.array([ink.min(), ink.max()]),
        centre=centre,
        spread=np.linalg.norm(centres - centre, axis=1).max(),
    )
    distances = np.quantile(_distances(reference, images[held_out]), np.linspace(0, 1, 1_001)).astype(np.float32)
    return Reference(**{**vars(reference), "distances": distances})


def score(reference: Reference, images: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return a doubt (n,) from 0 to 1 for each of the images (n, height, width), and the reason for it in words.

    A typical training image has a doubt of 0.5. At 0.99, one training image in a hundred is as far from the others; 1
    is beyond all of them. Below DOUBTFUL the reason is empty. Raises DataError for images of another size.
    """
    if images.shape[1:] != tuple(reference.shape):
        expected = f"(n, {', '.join(str(side) for side in reference.shape)})"
        raise DataError("images of another size than the training images", expected=expected, got=images.shape)
    ink, centres = _ink(images), _centres(images)
    least, most = reference.ink
    rules = np.select(
        [
            images.max(axis=(1, 2), initial=0) < BLANK_BELOW,
            ink < least / 2,
            ink > (1 + most) / 2,
            np.linalg.norm(centres - reference.centre, axis=1) > reference.spread + PIXELS_TOO_FAR,
        ],
        [BLANK, FAINT, HEAVY, OFF_CENTRE],
        default="",
    )
    reasons = rules.astype(object)
    steps = np.linspace(0, 1, len(reference.distances))
    doubts = np.interp(_distances(reference, images), reference.distances, steps)
    doubts[reasons != ""] = 1.0
    reasons[(reasons == "") & (doubts >= DOUBTFUL)] = UNLIKE
    return doubts, reasons.tolist()


def _features(images: np.ndarray) -> np.ndarray:
    """Return the features (n, f) of images (n, height, width), computed in chunks to save memory."""
    parts = [_edges(images[start : start + AT_ONCE]) for start in range(0, max(1, len(images)), AT_ONCE)]
    return np.concatenate(parts)


def _edges(images: np.ndarray) -> np.ndarray:
    """Return the square root of the edges' strength in each direction and cell: (n, directions · cells).

    These are histograms of oriented gradients (Dalal and Triggs 2005) with soft cells; the root reduces the effect of
    how dark and how broad a stroke is.
    """
    count, height, width = images.shape
    padded = np.pad(images.astype(np.float32) / 255, ((0, 0), (1, 1), (1, 1)))
    down, right = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1], padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    edges = np.empty((DIRECTIONS, count, height, width), np.float32)
    for number in range(DIRECTIONS // 2):
        angle = 2 * np.pi * number / DIRECTIONS
        slope = np.float32(np.sin(angle)) * down + np.float32(np.cos(angle)) * right
        np.maximum(slope, 0, out=edges[number])
        np.maximum(-slope, 0, out=edges[number + DIRECTIONS // 2])
    # Two products of large matrices, because one product for each image takes ten times as long.
    across = edges.reshape(-1, width) @ _soft_cells(width).T
    across = across.reshape(-1, height, CELLS).swapaxes(1, 2).reshape(-1, height)
    cells = (across @ _soft_cells(height).T).reshape(DIRECTIONS, count, CELLS**2)
    return np.sqrt(cells.swapaxes(0, 1).reshape(count, DIRECTIONS * CELLS**2))


def _soft_cells(side: int) -> np.ndarray:
    """Return the weight of each pixel of a side in each cell, (cells, side): 1 only in the cell's middle."""
    width = side / CELLS
    middles = (np.arange(CELLS) + 0.5) * width - 0.5
    return np.maximum(0, 1 - np.abs(np.arange(side) - middles[:, None]) / width).astype(np.float32)


def _principal(features: np.ndarray, components: int) -> tuple[np.ndarray, ...]:
    mean = features.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(features.T))
    variances, axes = np.maximum(variances[::-1], 1e-6), axes[:, ::-1]
    return mean, axes[:, :components].T, variances[:components], variances[components:].sum()


def _distances(reference: Reference, images: np.ndarray) -> np.ndarray:
    """Return the distance (n,) of each image to the nearest class; a class's own images average 2.

    It is the squared distance along the class's axes, in variances, plus that across them, each divided by its mean.
    """
    features = _features(images)
    nearest = np.full(len(images), np.inf)
    parts = zip(reference.means, reference.axes, reference.variances, reference.rest, strict=True)
    for mean, axes, variances, rest in parts:
        off = features - mean
        along = (off @ axes.T) ** 2
        across = np.maximum((off**2).sum(axis=1) - along.sum(axis=1), 0)
        np.minimum(nearest, (along / variances).mean(axis=1) + across / rest, out=nearest)
    return nearest


def _ink(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2)) / 255


def _centres(images: np.ndarray) -> np.ndarray:
    """Return the centre of each image's ink (n, 2) in pixels; for an empty image, its middle."""
    weights = images.astype(np.float32)
    total = weights.sum(axis=(1, 2))
    centres = np.tile((np.array(images.shape[1:]) - 1) / 2, (len(images), 1))
    for axis, side in enumerate(images.shape[1:]):
        moments = weights.sum(axis=2 - axis) @ np.arange(side)
        np.divide(moments, total, out=centres[:, axis], where=total > 0)
    return centres
