"""A network in words: what a run records of one's own network, so that reading the record never runs its code."""

import json
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from study.base.errors import ConfigError
from study.training.networks.network import Network, Parameter, find, know, make_parameter, members_of

KINDS = {"int": int, "float": float, "bool": bool, "str": str}


def description(names: Iterable[str]) -> str:
    """Return the parameters of the networks of these names that are somebody's own, as JSON; empty if none is."""
    own = [network for network in map(find, dict.fromkeys(names)) if "@" in network.name]
    found = {
        network.name: {name: _parameter(parameter) for name, parameter in network.parameters.items()} for network in own
    }
    return json.dumps(found, separators=(",", ":")) if found else ""


def know_described(text: str | None, where: object = None) -> None:
    """Make the networks of a `description` known in this process, without code; raises ConfigError for other text."""
    try:
        for name, parameters in json.loads(text or "{}").items():
            known = {
                field: make_parameter(field, _type(one), one["default"], where) for field, one in parameters.items()
            }
            know(Network(str(name), known, None))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError("not the description of a network", where=where) from None


def sources(names: Iterable[str]) -> dict[str, str]:
    """Return the text of the file of each of these networks that has one, by name."""
    networks = (find(name) for name in dict.fromkeys(names))
    return {network.name: network.source for network in networks if network.source is not None}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    annotation = parameter.info.annotation
    members = members_of(annotation)
    kind = next(one for one in members if one is not type(None))
    words: dict[str, Any] = {"default": parameter.info.default}
    if get_origin(kind) is Literal:
        words["choices"] = list(get_args(kind))
    else:
        words["type"] = next(name for name, type_ in KINDS.items() if type_ is kind)
    return words | ({"optional": True} if type(None) in members else {})


def _type(words: dict[str, Any]) -> Any:
    kind: Any = Literal[tuple(words["choices"])] if "choices" in words else KINDS[words["type"]]
    return kind | None if words.get("optional") else kind
