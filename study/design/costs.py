"""What a network costs, the limits that a search may set to that, and the cost to weigh its metric against."""

from dataclasses import dataclass

from study.base.errors import ConfigError, shown

PARAMETERS, LATENCY_MS, TRAIN_SECONDS = "parameters", "latency_ms", "train_seconds"
COSTS = {PARAMETERS: "parameters", LATENCY_MS: "latency of a row (ms)", TRAIN_SECONDS: "training time (s)"}
MOST_PARAMETERS, MOST_LATENCY = 10**12, 10**6


@dataclass(frozen=True)
class Limits:
    """What a network must stay below to be trained; None is no limit.

    `latency_ms` is the time that it takes for one row on one core.
    """

    parameters: int | None = None
    latency_ms: float | None = None

    def __bool__(self) -> bool:
        return self.parameters is not None or self.latency_ms is not None

    @property
    def text(self) -> str:
        """The limits as `parse_limits` reads them."""
        number = [f"{PARAMETERS}<{self.parameters}"] if self.parameters is not None else []
        time = [f"{LATENCY_MS}<{repr(self.latency_ms).removesuffix('.0')}"] if self.latency_ms is not None else []
        return ",".join(number + time) or "none"

    @property
    def words(self) -> str:
        """What a network within the limits has: ``fewer than 50,000 parameters, less than 1 ms a row``."""
        number = [f"fewer than {self.parameters:,} parameters"] if self.parameters is not None else []
        time = [f"less than {self.latency_ms:g} ms a row"] if self.latency_ms is not None else []
        return ", ".join(number + time)


NO_LIMITS = Limits()


def parse_limits(text: str) -> Limits:
    """Return the limits of text such as ``parameters<50000,latency_ms<1.0``; raises ConfigError."""
    found: dict[str, float] = {}
    for part in text.replace(" ", "").split(","):
        name, _, number = part.partition("<")
        value = _number(name, number)
        if value is None or name in found:
            expected = f"{PARAMETERS}<N, {LATENCY_MS}<T, both with a comma between them, or none"
            raise ConfigError(f"limit cannot be {shown(text)}", expected=expected)
        found[name] = value
    parameters = found.get(PARAMETERS)
    return Limits(None if parameters is None else int(parameters), found.get(LATENCY_MS))


def _number(name: str, text: str) -> float | None:
    """Return the number of a limit of this name; None if it is none."""
    if name == PARAMETERS:
        return int(text) if text.isascii() and text.isdigit() and 0 < int(text) <= MOST_PARAMETERS else None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if name == LATENCY_MS and 0 < value <= MOST_LATENCY else None
