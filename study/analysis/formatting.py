"""Numbers as people read them: no more digits than their interval justifies."""

import math

from study.analysis.statistics import Estimate


def show(value: Estimate | None, *, signed: bool = False) -> str:
    """Return ``97.62 ± 0.11``: the half-width to two digits and the mean to the same place; ``–`` for nothing.

    Without an interval there are three digits; from a million on there is an exponent.
    With `signed` a positive mean has its plus.
    """
    if value is None:
        return "–"
    plus = "+z" if signed and value.mean else "z"
    if max(abs(value.mean), value.half_width) >= 1e6 and math.isfinite(value.half_width):
        text = f"{value.mean:{plus}.2g} ± {value.half_width:.2g}"
    elif not value.half_width > 5e-7 or not math.isfinite(value.half_width):
        text = f"{value.mean:{plus}.3g}" if abs(value.mean) < 999.5 else f"{value.mean:{plus}.0f}"
    else:
        exponent = int(f"{value.half_width:.1e}".partition("e")[2])
        places = max(0, 1 - exponent)
        text = f"{value.mean:{plus}.{places}f} ± {value.half_width:.{places}f}"
    return text.replace("-", "−")


def show_p(p: float | None) -> str:
    """Return a p value: ``0.0312``, ``0.42``, ``< 0.001``, ``–`` for none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3g}" if p < 0.1 else f"{p:.2f}"
