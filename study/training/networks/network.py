"""A network is a function that builds a Keras model; its keyword parameters are its hyperparameters.

    def build(shape, classes, *, filters: int = 32, dropout: float = 0.25) -> keras.Model: ...

An annotation says what a parameter takes (int, float, bool, str, Literal, any of them ``| None``, or Annotated with
pydantic's Field limits), its default is that of the field. A parameter called `seed` is none: it gets the trial's seed.
"""

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from study.base.errors import ConfigError, nearest, shown
from study.training import fields
from study.training.fields import Value

SEED = "seed"
MOST_PARAMETERS = 100
SCALARS = (int, float, bool, str)
EXPECTED = "int, float, bool, str, Literal, one of them | None, or Annotated with pydantic's Field"
Effects = Mapping[str, Mapping[str, tuple[Value, ...]]]


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter of a network: what it takes, True and False among it or not, and how a value is checked."""

    info: FieldInfo
    adapter: TypeAdapter[Any]
    takes_bool: bool

    def checked(self, name: str, value: object, where: object) -> Value:
        """Return a value as the parameter's type has it; raises ConfigError."""
        return fields.checked(self.adapter, name, value, where, is_bool=self.takes_bool)


@dataclass(frozen=True)
class Network:
    """A network: its `name` in configs, its hyperparameters, and the `function` that builds it.

    A network that is known from the record only has none, and cannot be built. `source` is the text of its file, if
    it is somebody's own. `check`, with a row's shape and the settings, raises ConfigError where the function would,
    without Keras; `work`, with shape, classes and settings, is about how many multiplications a row takes.
    `without_effect` has the fields that have no effect beside certain values of others, by field and
    other field; `unless`, the values beside which they have one all the same.
    """

    name: str
    parameters: Mapping[str, Parameter]
    function: Callable[..., Any] | None
    source: str | None = None
    check: Callable[..., None] | None = None
    work: Callable[..., int] | None = None
    without_effect: Effects = field(default_factory=dict)
    unless: Effects = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name without the hash of its file."""
        return self.name.partition("@")[0]

    @property
    def takes_seed(self) -> bool:
        """Whether the function wants the trial's seed."""
        return self.function is not None and SEED in inspect.signature(self.function).parameters

    def complete(self, settings: Mapping[str, object], where: object) -> tuple[tuple[str, Value], ...]:
        """Return the value of every parameter, in order: the given ones checked, the others at their defaults.

        Raises ConfigError.
        """
        return tuple(
            (name, parameter.checked(name, settings.get(name, parameter.info.default), where))
            for name, parameter in self.parameters.items()
        )


def network_of(
    name: str, function: Callable[..., Any], taken: Mapping[str, FieldInfo], where: object, **more: Any
) -> Network:
    """Return the network that a function is; `taken` are the names of the config's other fields.

    Raises ConfigError if its signature is not that of a network.
    """
    signature = inspect.signature(function)
    two, keywords = list(signature.parameters.values())[:2], list(signature.parameters.values())[2:]
    if [one.name for one in two] != ["shape", "classes"]:
        raise ConfigError(
            "not the signature of a network", where=where,
            expected=f"def {function.__name__}(shape, classes, *, …)", got=f"({', '.join(signature.parameters)})",
        )  # fmt: skip
    if len(keywords) > MOST_PARAMETERS:
        raise ConfigError("too many parameters", where=where, expected=f"at most {MOST_PARAMETERS}", got=len(keywords))
    parameters = {one.name: _parameter(one, function.__globals__, taken, where) for one in keywords if one.name != SEED}
    return Network(name, parameters, function, **more)


def _parameter(
    parameter: inspect.Parameter, names: dict[str, Any], taken: Mapping[str, FieldInfo], where: object
) -> Parameter:
    name, default = parameter.name, parameter.default
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise ConfigError(f"{parameter} is no hyperparameter", where=where, expected="keywords with defaults")
    if name in taken:
        raise ConfigError(
            f"{name} is already a field of every trial", where=where, hint="Give the network's parameter another name."
        )
    if default is parameter.empty:
        raise ConfigError(f"{name} has no default", where=where, expected=f"{name}: TYPE = VALUE")
    if isinstance(default, (list, dict, set)):
        raise ConfigError(f"{name} has a mutable default", where=where, expected=EXPECTED, got=shown(default))
    annotation = type(default) if parameter.annotation is parameter.empty else parameter.annotation
    if isinstance(annotation, str):  # from __future__ import annotations
        try:
            annotation = eval(annotation, names)
        except Exception as failure:
            raise ConfigError(f"the type of {name} cannot be read ({failure})", where=where, got=annotation) from None
    return make_parameter(name, annotation, default, where)


def members_of(annotation: Any) -> tuple[Any, ...]:
    """Return the types of which an annotation takes one: ``int | None`` has two, ``int`` itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def network_shape(row_shape: tuple[int, ...], is_pixels: bool) -> tuple[int, ...]:
    """Return the shape of a row as a network's function gets it: pictures have three sides, the last of channels."""
    return (*row_shape, 1) if is_pixels and len(row_shape) == 2 else row_shape


def make_parameter(name: str, annotation: Any, default: object, where: object) -> Parameter:
    """Return a hyperparameter of this type and default; raises ConfigError if it is none that a config can hold."""
    base = annotation
    metadata: tuple[object, ...] = ()
    if get_origin(annotation) is Annotated:
        base, *rest = get_args(annotation)
        metadata = tuple(rest)
    before: list[Callable[[object], object]] = []
    members = members_of(base)
    if type(None) in members:
        before.append(fields.none)
        members = tuple(member for member in members if member is not type(None))
    if len(members) != 1:
        raise ConfigError(f"{name} has a type that is not known here", where=where, expected=EXPECTED, got=base)
    (kind,) = members
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    takes_bool = kind is bool or any(isinstance(choice, bool) for choice in choices)
    if choices:
        if not all(isinstance(choice, (*SCALARS, type(None))) for choice in choices):
            raise ConfigError(f"{name} has a choice that is not known here", where=where, expected=EXPECTED, got=kind)
        before.append(fields.one_of(choices))
    elif kind is bool:
        before.append(fields.boolean)
    elif kind is str:
        before.append(fields.text)
        metadata = (*metadata, AfterValidator(fields.word))
    elif kind not in SCALARS:
        raise ConfigError(f"{name} has a type that is not known here", where=where, expected=EXPECTED, got=base)
    # pydantic applies the last of the validators before first
    metadata = (*metadata, *(BeforeValidator(one) for one in reversed(before)))
    whole: Any = Annotated[base, *metadata] if metadata else base
    try:
        info = FieldInfo.from_annotated_attribute(whole, default)
        adapter = TypeAdapter(whole, config={"allow_inf_nan": False})
        value = Parameter(info, adapter, takes_bool).checked(name, default, where)
    except (PydanticUserError, TypeError) as failure:
        raise ConfigError(f"{name} has limits that do not fit its type ({failure})", where=where) from None
    info.default = value
    return Parameter(info, adapter, takes_bool)


# --- those that are known ----------------------------------------------------------------------------

# By name. A name stands for one content for good: those of own files have its hash in them.
_KNOWN: dict[str, Network] = {}


def know(network: Network) -> None:
    """Make a network known in this process; one that can be built stays."""
    if network.function is not None or network.name not in _KNOWN:
        _KNOWN[network.name] = network


def find(name: object, where: object = None) -> Network:
    """Return the network of this name; raises ConfigError if this process does not know it."""
    if isinstance(name, str) and name in _KNOWN:
        return _KNOWN[name]
    hint = nearest(str(name), [known for known in _KNOWN if "@" not in known])
    raise ConfigError(
        f"network cannot be {shown(name)}", where=where, expected="mlp, cnn, or a file of your own, such as my_net.py",
        hint=hint,
    )  # fmt: skip
