"""Lists which versions of which packages this environment has, as pip's requirements."""

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@cache
def pinned(*names: str) -> tuple[str, ...]:
    """Return requirements that pin these packages, and then all that they need, to the versions that are installed."""
    found: dict[str, str] = {}
    for name in names:
        _pin(name, frozenset(), found, set())
    needed = sorted(found.keys() - {*map(canonicalize_name, names)})
    return tuple(found[canonicalize_name(name)] for name in (*names, *needed))


def _pin(name: str, extras: frozenset[str], found: dict[str, str], seen: set[tuple[str, frozenset[str]]]) -> None:
    key = canonicalize_name(name)
    if (key, extras) in seen:
        return
    seen.add((key, extras))
    package = distribution(name)
    found[key] = f"{key}=={package.version}"
    for needed in map(Requirement, package.requires or ()):
        wanted = [{"extra": extra} for extra in extras or ("",)]
        if needed.marker is None or any(needed.marker.evaluate(each) for each in wanted):
            try:
                _pin(needed.name, frozenset(needed.extras), found, seen)
            except PackageNotFoundError:  # left out of this environment: what works here works there without it too
                continue
