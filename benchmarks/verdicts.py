"""Measures how often verdicts are wrong, however often a study looks, and how many seeds they take.

    python -m benchmarks.verdicts [STUDIES]             null studies, and seeds to a verdict (2,000: two minutes)
    python -m benchmarks.verdicts --calibrate [PATHS]   the constants of the confidence sequence (200,000: seconds)

A study is simulated: its arms are random numbers, and every arm is compared with the same baseline, so that the
comparisons are correlated. It looks after every seed. "Claims" is the share of null studies in which any comparison
claimed an effect; a comparison that is settled is not looked at again. "Coverage" is the share of studies in which all
intervals, of all comparisons at all looks, contain the true difference; it takes no notice of what is settled, so 100 %
minus coverage is what a study would claim that never stops for "no effect". Beside them stand a fixed plan (Student's t
test, once, with as many seeds as find a difference of the margin with 80 % power) and the rule that verdicts had first
(sign-flip test and Holm's correction, made for one look), looked at again and again. ± is one standard error. The
seeds are written here, so that the figures are the same on every machine.
"""

import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import gammaln, nctdtr, stdtrit

from study.analysis import confidence_sequence as sequence
from study.analysis import statistics
from study.analysis.statistics import LEVEL

LOOKS = np.arange(sequence.FIRST_LOOK, sequence.CAP + 1)
MARGIN = 0.5  # sd, of the null studies: few are settled early, so that there are many looks
FAR = 240  # seeds of a study that goes on past the cap
COMPARISONS = (1, 2, 3, 6, 11)
SD = 0.2  # points, of a paired difference: what most of the catalogue has
MARGINS = (0.1, 0.16, 0.2)  # points: 0.5, 0.8 and 1 sd
POWER = 0.8
AT_ONCE = 250  # studies, so that the arrays stay small
FEWER = 4  # one study in so many is also judged by the rule for one look, whose test is slow
RESOLUTION = 0.1  # points: the half-width at which that rule says "no effect"
EFFECT, NONE, OPEN = range(3)

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def main(*words: str) -> None:
    """Print the tables."""
    if words[:1] == ("--calibrate",):
        calibrate(int(*words[1:] or (200_000,)))
        return
    studies = int(*words or (2_000,))
    null_studies(studies)
    null_studies_by_one_look(max(1, studies // FEWER))
    seeds_to_a_verdict(studies)


# --- the constants ----------------------------------------------------------------------------------


def calibrate(paths: int) -> None:
    """Print the constants that give each level, by simulation and by integration, and those of the tables."""
    least = np.sort(simulated(paths))
    print(f"looks at {LOOKS[0]}, {LOOKS[0] + 1}, …, {LOOKS[-1]}; n = {paths:,} paths of normal differences, seed 0")
    print("false: the share of paths that the table's constant claims, integrated, in % of the level\n")
    print(f"{'':>3}  {'effects (0.9 · 0.05/m)':^46}    {'equivalence (0.9 · 0.1/m)':^46}")
    columns = f"{'simulated':>19}{'integrated':>12}{'table':>8}{'false':>7}"
    print(f"{'m':>3}  {columns}    {columns}")
    for number in range(1, len(sequence.EFFECT) + 1):
        row = [f"{number:>3}"]
        for table, sides in ((sequence.EFFECT, 1), (sequence.EQUIVALENCE, 2)):
            constant, level = table[number - 1], sequence.SCHEDULED * sides * LEVEL / number
            low, middle, high = (
                least[min(paths - 1, round(paths * (level + by * np.sqrt(level * (1 - level) / paths))))]
                for by in (-1, 0, 1)
            )
            words = f"{middle:.5f} ± {(high - low) / 2:.5f}"
            row.append(f"{words:>19}{integrated(level):>12.5f}{constant:>8}{false_share(constant) / level:>7.1%}")
        print("  ".join((row[0], "    ".join(row[1:]))))


def simulated(paths: int) -> np.ndarray:
    """Return for each path (paths,) the least constant with which it would have been claimed at one of the looks."""
    draw, least = np.random.default_rng(0), []
    for _ in range(0, paths, 10_000):
        values = draw.standard_normal((10_000, LOOKS[-1]))
        sums, squares = (np.cumsum(each, axis=1)[:, LOOKS - 1] for each in (values, values**2))
        # |m| > h(a) ⇔ 1/a < sqrt(T) · ((n + c²)V / ((n + c²)V - S²))^(n/2), with S = ΣD and V = ΣD²
        whole = (LOOKS + sequence.C_SQUARED) * squares
        log_ratio = LOOKS / 2 * np.log(whole / (whole - sums**2))
        log_ratio += np.log(sequence.C_SQUARED / (sequence.C_SQUARED + LOOKS)) / 2
        least.append(np.exp(-log_ratio.max(axis=1)))
    return np.concatenate(least)[:paths]


def false_share(constant: float, past: float | None = None, last: int = sequence.CAP, points: int = 120) -> float:
    """Return the share of null paths that this constant claims at a look up to `last`, integrated.

    `past` is the constant from the cap on. The ratio r = S/√V of normal differences is a Markov chain: the next
    difference divided by √V is tan w, where w has a density in proportion to cos(w)ⁿ⁻¹ and does not depend on r, so
    that r becomes r cos w + sin w. A path stays unclaimed while r² ≤ (n + c²)(1 - p). The error falls with the
    `points` of r; with 120 it is less than a thousandth of the result.
    """
    counts = range(LOOKS[0], last + 1)
    limits = [_limit(n, constant if past is None or n <= sequence.CAP else past) for n in counts]
    nodes, weights = np.polynomial.legendre.leggauss(24)
    unclaimed: Callable[[np.ndarray], np.ndarray] = np.ones_like  # by r: the probability that no later look claims
    for n, here, following in zip(counts[-2::-1], limits[-2::-1], limits[:0:-1], strict=True):
        r = here * np.sin(np.linspace(0, np.pi / 2, points))  # closer together near the limit, where it bends
        widest, turn = min(np.pi / 2, 8.5 / np.sqrt(n)), np.arctan(r)
        claimed = np.arcsin(np.minimum(1, following / np.sqrt(1 + r**2)))  # of w + turn, to π minus this
        total = np.zeros(points)
        for first, end in ((-widest, claimed - turn), (np.pi - claimed - turn, widest)):
            low, high = (np.clip(each, -widest, widest) + np.zeros(points) for each in (first, end))
            w = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * nodes
            density = np.exp(_log_norm(n + 1) + (n - 1) * np.log(np.cos(w)))
            then = unclaimed(np.abs(r[:, None] * np.cos(w) + np.sin(w)))
            total += (high - low) / 2 * ((density * then) @ weights)
        unclaimed = CubicSpline(r, total)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    n, r = counts[0], (nodes + 1) / 2 * limits[0]
    density = np.exp(_log_norm(n) + (n - 3) / 2 * np.log1p(-(r**2) / n)) / np.sqrt(n)
    return float(1 - limits[0] * (weights @ (density * unclaimed(r))))


def _limit(n: int, constant: float) -> float:
    """Return the |r| beyond which a look at n differences claims; √n, which none exceeds, if it cannot."""
    t = sequence.C_SQUARED / (sequence.C_SQUARED + n)
    p = (t * constant**2) ** (1 / n)
    return float(np.sqrt(min(n, (n + sequence.C_SQUARED) * (1 - p))))


def _log_norm(n: int) -> float:
    return float(gammaln(n / 2) - gammaln((n - 1) / 2) - np.log(np.pi) / 2)


@cache
def _inverse() -> CubicSpline:
    constants = np.linspace(np.log(0.0002), np.log(0.26), 16)
    return CubicSpline([np.log(false_share(np.exp(constant))) for constant in constants], constants)


def integrated(level: float) -> float:
    """Return the constant that claims this share of null paths."""
    return float(np.exp(_inverse()(np.log(level))))


# --- null studies -----------------------------------------------------------------------------------


def _normal(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.standard_normal(shape)


def _counts(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.binomial(5_000, 0.98, shape) / 50


def _student(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.standard_t(3, shape)


def _skewed(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 1 - draw.standard_exponential(shape)  # accuracies fall further than they rise


def _very_skewed(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.exp(0.5) - draw.lognormal(0, 1, shape)


# The noise of an arm, and that of the baseline. Equal noise makes symmetric differences, so skewed arms have a baseline
# of another kind: the skewness of the differences is then -0.7 and, as from an arm that sometimes collapses, -6.
KINDS: dict[str, tuple[Noise, Noise]] = {
    "normal": (_normal, _normal),
    "counts of 5,000": (_counts, _counts),
    "t with 3 df": (_student, _student),
    "skewed": (_skewed, _normal),
    "very skewed": (_very_skewed, lambda draw, shape: _normal(draw, shape) / 10),
}


def null_studies(studies: int) -> None:
    """Print how many null studies claim an effect, and in how many all intervals hold."""
    print(f"null studies, looked at after every seed from {LOOKS[0]} on; n = {studies:,} each; margin {MARGIN} sd\n")
    near, far = f"to the cap of {sequence.CAP} seeds", f"on to {FAR} seeds"
    print(f"{'':<16}{'':>12}  {near:>28}  {far:>28}")
    print(f"{'noise':<16}{'comparisons':>12}" + f"  {'claims':>14}{'coverage':>14}" * 2)
    for kind in KINDS:
        for comparisons in COMPARISONS:
            claims, misses = (
                np.concatenate(each) for each in zip(*_null_looks(kind, comparisons, studies), strict=True)
            )
            cells = []
            for last in (sequence.CAP, FAR):
                cells += [_share(claims <= last), _share(misses > last)]
            words = "  ".join(f"{claimed:>14}{held:>14}" for claimed, held in (cells[:2], cells[2:]))
            print(f"{kind:<16}{comparisons:>12}  {words}", flush=True)
    print("\nnormal, one comparison, integrated: an interval misses in", end=" ")
    print(", ".join(f"{_missed(last):.2%} to {last}" for last in (sequence.CAP, 2 * sequence.CAP, FAR)), end=" seeds\n")
    print(f"with a = 0.05 at all looks in {false_share(LEVEL, last=FAR):.2%} to {FAR}\n")


def _missed(last: int) -> float:
    return false_share(sequence.EFFECT[0], past=(1 - sequence.SCHEDULED) * LEVEL, last=last)


def _share(hits: np.ndarray) -> str:
    """Return a share in words, with its standard error: ``4.6 ± 0.5 %``."""
    share = float(np.mean(hits))
    return f"{100 * share:.1f} ± {100 * np.sqrt(share * (1 - share) / len(hits)):.1f} %"


def _null_looks(kind: str, comparisons: int, studies: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, some studies at a time, the seeds at the first claim and at the first miss of an interval (studies,)."""
    draw = np.random.default_rng([1, list(KINDS).index(kind), comparisons])
    noise, noise_of_baseline = KINDS[kind]
    looks = np.arange(LOOKS[0], FAR + 1)
    for first in range(0, studies, AT_ONCE):
        shape = (min(AT_ONCE, studies - first), comparisons, FAR)
        differences = noise(draw, shape) - noise_of_baseline(draw, (shape[0], 1, FAR))
        effect, none = settled(differences, MARGIN * differences.std(), comparisons, looks)
        yield np.where(effect <= none, effect, FAR + 1).min(axis=1), effect.min(axis=1)


def settled(
    differences: np.ndarray, margin: float, comparisons: int, looks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the seeds at the first look that claims an effect, and that rules one out; one past the last if none does.

    `differences` is (studies, comparisons, seeds), each result (studies, comparisons).
    """
    sums, squares = (np.cumsum(each, axis=-1)[..., looks - 1] for each in (differences, differences**2))
    means = np.abs(sums) / looks
    sd = np.sqrt(np.maximum(0, squares - sums**2 / looks) / (looks - 1))
    effect_at, none_at = (
        np.array([constant(int(n), comparisons) for n in looks])
        for constant in (sequence.effect_constant, sequence.equivalence_constant)
    )
    claimed = means > sequence.half_width(sd, looks, effect_at)
    none = means + sequence.half_width(sd, looks, none_at) <= margin
    first, second = (
        np.where(hits.any(axis=-1), looks[hits.argmax(axis=-1)], looks[-1] + 1) for hits in (claimed, none)
    )
    return first, second


# --- the rule for one look --------------------------------------------------------------------------


def null_studies_by_one_look(studies: int) -> None:
    """Print in how many null studies the rule that was made for one look claims an effect, however it is looked at."""
    print(f"the rule for one look, normal null studies; sd {SD} points; n = {studies:,} each; cap {sequence.CAP}\n")
    print(f"{'comparisons':<12}{'one look':>16}{'every seed':>16}{'as advised':>16}")
    for comparisons in (1, 2, 3, 6):
        row = []
        for advised in (None, False, True):
            draw = np.random.default_rng([2, comparisons])
            shape = (comparisons, sequence.CAP)
            claims = [
                by_one_look(SD / np.sqrt(2) * (draw.standard_normal(shape) - draw.standard_normal(shape[1])), advised)
                for _ in range(studies)
            ]
            row.append(_share(np.array(claims)[:, 1] == EFFECT))
        print(f"{comparisons:>11} " + "".join(f"{cell:>16}" for cell in row), flush=True)
    print("\nas advised: with as many more seeds as the verdict says, the most that any says\n")


def by_one_look(differences: np.ndarray, advised: bool | None) -> tuple[int, int]:
    """Return the seeds until a study claims an effect or has settled all its comparisons, and what it settled.

    `differences` is (comparisons, seeds). It looks once (`advised` None), after every seed, or when it was advised to.
    The rule: an effect where the sign-flip test, after Holm's correction, has p ≤ 0.05 and Student's interval excludes
    zero; none where that includes it and is at most ±0.1 wide; otherwise as many more seeds as would make it so.
    """
    comparisons, cap = differences.shape
    n = max(sequence.FIRST_LOOK, math.ceil(math.log2(2 * comparisons / LEVEL)))
    while True:
        estimates = [statistics.estimate(each[:n]) for each in differences]
        beyond = np.array([each.excludes_zero for each in estimates])
        # The test takes long, and without such an interval nothing can be claimed.
        if beyond.any():
            p_values = holm([sign_flip(each[:n]) for each in differences])
            if (beyond & (p_values <= LEVEL)).any():
                return n, EFFECT
        if all(each.half_width <= RESOLUTION for each in estimates) and not beyond.any():
            return n, NONE
        if n == cap or advised is None:
            return n, OPEN
        spreads = differences[:, :n].std(axis=1, ddof=1)
        more = max(seeds_for(RESOLUTION, float(sd)) for sd in spreads) - n if advised else 1
        n = min(cap, n + max(1, more))


def sign_flip(differences: np.ndarray) -> float:
    """Return the two-sided p of the sign-flip test that the differences lie symmetrically about zero.

    Exact up to 20 differences: the share of the 2ⁿ ways to give them signs whose mean is as far from zero. Beyond
    that 99,999 ways are drawn. Source: Fisher (1935), The Design of Experiments, § 21.
    """
    least = abs(differences.sum()) * (1 - 1e-9)
    if len(differences) <= 20:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float(np.mean(np.abs(sums) >= least))
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (99_999, len(differences)))
    return (1 + int(np.count_nonzero(np.abs(signs @ differences) >= least))) / 100_000


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return the p values, corrected for their number. Source: Holm (1979), A simple sequentially rejective test."""
    values = np.asarray(p_values)
    order, corrected = np.argsort(values), np.empty(len(values))
    times = values[order] * np.arange(len(values), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(times))
    return corrected


def seeds_for(half_width: float, sd: float, most: int = 100_000) -> int:
    """Return how many differences of this sd give Student's interval at most this half-width; `most` at most."""
    counts = range(2, most)  # the half-width falls as n grows
    return 2 + bisect_left(counts, True, key=lambda n: statistics.half_width(sd, n) <= half_width)


# --- seeds to a verdict -----------------------------------------------------------------------------


def seeds_to_a_verdict(studies: int) -> None:
    """Print the seeds until a comparison is settled, and as what, beside a fixed plan and the rule for one look."""
    print(f"seeds to a verdict of one comparison; normal differences, sd {SD} points; median (quartiles); ", end="")
    print(f"cap {sequence.CAP}\nn = {studies:,} studies, {max(1, studies // FEWER):,} by the rule for one look\n")
    head = f"{'seeds':>15}{'effect':>8}{'none':>7}{'open':>7}"
    print(f"{'':>14}  {'fixed plan':^14}  | {'confidence sequence':^37}  | {'rule for one look, at every seed':^37}")
    print(f"{'margin':>7}{'true':>7}  {'seeds':>6}{'effect':>8}  | {head}  | {head}")
    for margin in MARGINS:
        for true in (0, margin, 1.5 * SD):
            draw = np.random.default_rng([3, round(1000 * margin), round(1000 * true)])
            differences = true + SD * draw.standard_normal((studies, 1, sequence.CAP))
            effect, none = (each[:, 0] for each in settled(differences, margin, 1, LOOKS))
            seeds = np.minimum(effect, none)
            kinds = np.where(seeds > sequence.CAP, OPEN, np.where(effect <= none, EFFECT, NONE))
            one_look = np.array([by_one_look(each, False) for each in differences[: max(1, studies // FEWER)]])
            n = fixed_plan(margin / SD)
            cells = (_settled(np.minimum(seeds, sequence.CAP), kinds), _settled(*one_look.T))
            print(f"{margin:>7}{true:>7.2f}  {n:>6}{power(n, true / SD):>8.1%}  | {'  | '.join(cells)}", flush=True)


def _settled(seeds: np.ndarray, kinds: np.ndarray) -> str:
    low, middle, high = np.percentile(seeds, (25, 50, 75), method="nearest")
    words = f"{middle:.0f} ({low:.0f}–{high:.0f})"
    return f"{words:>15}" + "".join(
        f"{np.mean(kinds == kind):>{places}.1%}" for kind, places in ((EFFECT, 8), (NONE, 7), (OPEN, 7))
    )


def power(n: int, effect: float) -> float:
    """Return the probability that a two-sided t test of n differences at 0.05 finds an effect of so many sd."""
    threshold, shift = stdtrit(n - 1, 1 - LEVEL / 2), effect * np.sqrt(n)
    return float(1 - _noncentral_t(n - 1, shift, threshold) + _noncentral_t(n - 1, shift, -threshold))


def _noncentral_t(df: int, shift: float, value: float) -> float:
    return float(nctdtr(df, shift, value))


def fixed_plan(effect: float) -> int:
    """Return the least number of differences with which the t test finds an effect of so many sd with 80 % power."""
    return next(n for n in range(2, 10_000) if power(n, effect) >= POWER)


if __name__ == "__main__":
    main(*sys.argv[1:])
