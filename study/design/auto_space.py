"""A search space derived from a network's own parameters: what their annotations and defaults allow."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from study.base import yaml_file
from study.design.search_space import SearchSpace, parse_space
from study.training.config import MLP, NETWORK
from study.training.networks.network import Parameter, find

AUTO_SPACE = "auto"
USUAL = "default"  # the space of the project's own default network
# Of training, whatever the network.
TRAINING: dict[str, dict[str, Any]] = {
    "learning_rate": {"range": [1e-4, 0.1], "log": True},
    "batch_size": {"choices": [16, 32, 64, 128]},
}
EPOCHS = 10
WIDER, MUCH_WIDER = 4, 10  # times the default, for whole and other numbers without limits
MOST_SHARE = 0.9  # of a number whose default lies between 0 and 1, and may be a share


def space_of(network: str) -> tuple[SearchSpace, list[str]]:
    """Return the space over all parameters of a network for which a range is known, and those that it leaves out.

    A Literal or bool is searched over its choices, a number between its limits. A number without limits is searched
    from a quarter of its default to four times that if it is whole, else from a tenth to ten times. Text, numbers that
    are 0 by default and have no upper limit, and parameters that may be None are left out. Raises SpaceError.
    """
    parameters = find(network).parameters
    fields = {name: entry for name, parameter in parameters.items() if (entry := _entry(parameter))}
    content = {"baseline": {"epochs": EPOCHS, NETWORK: network}, "fields": TRAINING | fields}
    space = parse_space(yaml_file.write(content), AUTO_SPACE, "space=auto")
    return space, [name for name in parameters if name not in fields]


def usual_space(network: str | None) -> str:
    """Return what a search without a space searches: the default space, or, for another network, its own."""
    return USUAL if network in (None, MLP) else AUTO_SPACE


def _entry(parameter: Parameter) -> dict[str, Any]:
    """Return the entry of a parameter in a space's file; empty if it has none."""
    kind, default = parameter.info.annotation, parameter.info.default
    if kind is bool:
        return {"choices": [False, True]}
    if get_origin(kind) is Literal:
        choices = list(get_args(kind))
        return {"choices": choices} if len(choices) > 1 and None not in choices else {}
    if kind not in (int, float):
        return {}
    low, high = (next(_limits(parameter, names), None) for names in (("ge", "gt"), ("le", "lt")))
    if low is None or high is None:
        if default <= 0:
            return {}
        times = WIDER if kind is int else MUCH_WIDER
        usual_high = default * times if kind is int or default >= 1 else min(default * times, MOST_SHARE)
        low = max(default / times, low or 0) if low is None or low <= 0 else low
        high = usual_high if high is None else high
    if kind is int:
        low, high = max(1, round(low)) if default >= 1 else round(low), round(high)
    if low >= high or not low <= default <= high:
        return {}
    return {"range": [low, high], "log": bool(low > 0 and high / low >= WIDER)}


def _limits(parameter: Parameter, names: tuple[str, str]) -> Iterator[float]:
    """Yield the limits among an annotation's metadata; one that is not reached itself is moved a little inwards."""
    whole = parameter.info.annotation is int
    for mark in parameter.info.metadata:
        for name in names:
            if (value := getattr(mark, name, None)) is not None:
                inwards = {"gt": 1, "lt": -1}.get(name, 0)
                yield value + inwards * (1 if whole else 1e-6 * max(1.0, abs(value)))
