"""Describes this machine's processor: a training gives the same bits only on one that calculates in the same way."""

import platform
import re
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Linux
MODEL = ("model name", "Model", "cpu model", "Processor")
FEATURES = ("flags", "Features")
# Of the many features that a kernel lists those that decide how floating-point numbers are calculated.
_ARITHMETIC = re.compile(r"(s?sse|avx|fma|f16c|amx|asimd|neon|vfp|fphp|sve|bf16|i8mm|sme(?!p)).*|fp", re.I)


@cache
def processor() -> tuple[str, str]:
    """Return the processor's model and its features for arithmetic, such as ``AMD EPYC`` and ``avx avx2 fma …``.

    Where the system does not list features they are the name of the architecture.
    """
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return described(text)


def described(cpuinfo: str) -> tuple[str, str]:
    """Return the same from the text of ``/proc/cpuinfo``, of which the first processor counts."""
    found: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if colon:
            found.setdefault(name, value)
    model = next((found[name] for name in MODEL if found.get(name)), "") or platform.processor() or platform.machine()
    words = next((found[name] for name in FEATURES if found.get(name)), "").split()
    return model, " ".join(sorted(word for word in words if _ARITHMETIC.fullmatch(word))) or platform.machine()
