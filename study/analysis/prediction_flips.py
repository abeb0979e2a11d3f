"""Prediction flips: which test images one arm fixes and another breaks; pure functions on numpy arrays.

Two arms with the same accuracy can err on different images, and so can two seeds of one arm: flips between arms matter
only as far as they exceed the flips between seeds.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from study.analysis.statistics import mcnemar

MOST_PAIRS = 28  # of seeds of one arm, whose flips are counted: all pairs of eight
DRAWS, DRAWS_AT_ONCE = 1_000, 50  # of seeds and images
OUTSIDE = 0.05  # the share of the draws that is left out of an interval


@dataclass(frozen=True)
class Resampled:
    """A difference in accuracy, in points, paired by seed, with an interval over other seeds and other images."""

    seeds: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Flips:
    """What changes from `against` to `arm` on the test images; each arm decides by the majority of its seeds.

    `fixed` and `broken` hold indices of images, those on which the most seeds agree first; `p` is McNemar's exact test
    over them. `a_pair` is how many images a trial of one arm gets right and the other's of the same seed does not, or
    the other way round, on the mean over the seeds. `resampled` is the difference in accuracy, None without a common
    seed.
    """

    arm: str
    against: str
    fixed: np.ndarray
    broken: np.ndarray
    p: float
    a_pair: float
    resampled: Resampled | None


@dataclass(frozen=True, eq=False)
class Ledger:
    """The flips of every comparison, the images (indices) that no trial gets right, and what the seed alone flips.

    `taken_for` has for each test image (n,) the wrong class that the most trials take it for, -1 where none errs;
    `seed_flips` has for each arm the mean number of images that flip between two of its seeds, NaN for a single one.
    """

    images: int
    trials: int
    flips: tuple[Flips, ...]
    never_right: np.ndarray
    taken_for: np.ndarray
    seed_flips: dict[str, float]


def ledger(
    predictions: Mapping[str, Mapping[int, np.ndarray]], labels: np.ndarray, comparisons: list[tuple[str, str]]
) -> Ledger:
    """Return the ledger of `predictions`, by arm and seed the predicted classes (n,), against the true `labels` (n,).

    `comparisons` are pairs (arm, against); those of which an arm has no predictions are left out.
    """
    right = {
        arm: {seed: classes == labels for seed, classes in by_seed.items()} for arm, by_seed in predictions.items()
    }
    every = [classes for by_seed in predictions.values() for classes in by_seed.values()]
    wrong_votes = np.zeros((len(labels), int(max(labels.max(), *(classes.max() for classes in every))) + 1), np.int64)
    for classes in every:
        np.add.at(wrong_votes, (np.arange(len(labels)), classes), classes != labels)
    return Ledger(
        images=len(labels),
        trials=len(every),
        flips=tuple(
            _flips(arm, against, right) for arm, against in comparisons if right.get(arm) and right.get(against)
        ),
        never_right=np.flatnonzero(wrong_votes.sum(axis=1) == len(every)),
        taken_for=np.where(wrong_votes.any(axis=1), wrong_votes.argmax(axis=1), -1),
        seed_flips={arm: _seed_flips(list(by_seed.values())) for arm, by_seed in right.items()},
    )


def _flips(arm: str, against: str, right: Mapping[str, Mapping[int, np.ndarray]]) -> Flips:
    now, before = (np.mean(list(right[name].values()), axis=0) for name in (arm, against))
    # Half of an even number of seeds is no majority: such an image counts as wrong, in both arms alike.
    fixed, broken = (np.flatnonzero(kept) for kept in ((now > 0.5) & (before <= 0.5), (now <= 0.5) & (before > 0.5)))
    seeds = sorted(right[arm].keys() & right[against].keys())
    gains = [right[arm][seed].astype(np.int8) - right[against][seed].astype(np.int8) for seed in seeds]
    pairs = [np.count_nonzero(gain) for gain in gains]
    return Flips(
        arm=arm,
        against=against,
        fixed=fixed[np.argsort(before[fixed] - now[fixed], kind="stable")],
        broken=broken[np.argsort(now[broken] - before[broken], kind="stable")],
        p=mcnemar(len(fixed), len(broken)),
        a_pair=float(np.mean(pairs)) if pairs else float("nan"),
        resampled=resample(np.array(gains)) if gains else None,
    )


def resample(gains: np.ndarray, draws: int = DRAWS) -> Resampled:
    """Return the mean of `gains` (seeds, images), each -1, 0 or 1, with an interval from resampling both crosswise.

    Owen & Eckles (2012), Bootstrapping data arrays of arbitrary order (arXiv 1106.2125): each draw takes as many seeds
    and as many images as there are, with replacement and independently of one another; the weight of a cell is the
    product of how often its seed and its image were taken. The interval leaves out 2.5 % of the draws on each side. It
    is for one comparison and one look. The same gains give the same interval.
    """
    seeds, images = gains.shape
    random = np.random.default_rng(0)
    changed = gains[:, gains.any(axis=0)]  # the others add nothing, however often they are taken
    shares = np.full(changed.shape[1] + 1, 1 / images)
    shares[-1] = 1 - shares[:-1].sum()
    of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    sums = []
    for first in range(0, draws, DRAWS_AT_ONCE):  # all at once a large table would take gigabytes
        seeds_drawn = of_seeds[first : first + DRAWS_AT_ONCE]
        of_images = random.multinomial(images, np.maximum(shares, 0), size=len(seeds_drawn))[:, :-1]
        sums.append(np.einsum("ds,si,di->d", seeds_drawn, changed, of_images, optimize=True))
    means = 100 * np.concatenate(sums) / gains.size
    low, high = np.quantile(means, [OUTSIDE / 2, 1 - OUTSIDE / 2])
    return Resampled(seeds, float(100 * gains.mean()), float(low), float(high))


def _seed_flips(right: list[np.ndarray]) -> float:
    pairs = list(itertools.islice(itertools.combinations(right, 2), MOST_PAIRS))
    return float(np.mean([np.count_nonzero(one != other) for one, other in pairs])) if pairs else float("nan")
