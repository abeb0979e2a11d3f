"""Formats numbers for people: with no more digits than their interval justifies."""

import math

from study.analysis.statistics import Estimate


def show(value: Estimate | None, *, signed: bool = False) -> str:
    """Return ``97.62 ± 0.11``, with as many `decimals` as the half-width justifies.

    ``–`` stands for nothing and for NaN. Without an interval there are three digits; from a million on there is an
    exponent. With `signed` a positive mean has its plus.
    """
    if value is None or math.isnan(value.mean):
        return "–"
    plus = "+z" if signed and value.mean else "z"
    if max(abs(value.mean), value.half_width) >= 1e6 and math.isfinite(value.half_width):
        text = f"{value.mean:{plus}.2g} ± {value.half_width:.2g}"
    elif not value.half_width > 5e-7 or not math.isfinite(value.half_width):
        text = f"{value.mean:{plus}.3g}" if abs(value.mean) < 999.5 else f"{value.mean:{plus}.0f}"
    else:
        places = decimals(value)
        text = f"{value.mean:{plus}.{places}f} ± {value.half_width:.{places}f}"
    return text.replace("-", "−")


def decimals(value: Estimate) -> int:
    """Return the decimals that show two digits of a half-width above 0.

    There are up to two more where an interval that excludes zero would seem to end there: not ``0.17 ± 0.17`` but
    ``0.172 ± 0.167``.
    """
    least = _two_digits(value.half_width)
    if not value.excludes_zero:
        return least
    apart = (n for n in range(least, least + 2) if f"{abs(value.mean):.{n}f}" != f"{value.half_width:.{n}f}")
    return next(apart, least + 2)


def _two_digits(width: float) -> int:
    """Return the decimals that show two digits of a width above 0; none from 10 on."""
    return max(0, 1 - int(f"{width:.1e}".partition("e")[2]))


def show_range(middle: float, low: float, high: float, *, signed: bool = False) -> str:
    """Return ``0.0712 (0.0695 to 0.0730)``: to two digits of half the interval."""
    sign = "+z" if signed else "z"
    half = (high - low) / 2
    places = _two_digits(half) if half > 5e-7 else 4
    middle_text, low_text, high_text = (f"{value:{sign}.{places}f}" for value in (middle, low, high))
    return f"{middle_text} ({low_text} to {high_text})".replace("-", "−")


def show_p(p: float | None) -> str:
    """Return a p value: ``0.0312``, ``0.42``, ``< 0.001``, ``–`` for none and for NaN."""
    if p is None or math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3g}" if p < 0.1 else f"{p:.2f}"


def whole(number: float | None) -> str:
    """Return a whole number with its thousands apart: ``1,234``; ``–`` for None and NaN."""
    return "–" if number is None or math.isnan(number) else f"{number:,.0f}"


def percent(share: float, places: int = 1) -> str:
    """Return a share from 0 to 1 as a percentage without its sign: ``98.3``; ``–`` for NaN."""
    return "–" if math.isnan(share) else f"{100 * share:.{places}f}"


def probability(share: float) -> str:
    """Return a probability in percent: ``98.3 %``; ``> 99.9 %`` and ``< 0.1 %`` where it only comes near 1 or 0."""
    if math.isnan(share):
        return "–"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return "< 0.1 %" if 0 < share < 0.0005 else f"{percent(share)} %"


def count(number: int, word: str) -> str:
    """Return ``1 seed``, ``6 seeds``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``3rd``, ``11th``."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
