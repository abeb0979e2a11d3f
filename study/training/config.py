"""TrialConfig: everything that decides the outcome of a trial, in four parts: data, network, training and seed.

Each field is written once, here. Where a config meets text it is flat: the names in FIELDS are the parameters of an
MLflow run, the keys of a YAML file, the options of ``train`` and the names that ``set=field=value`` takes.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from study.base.errors import ConfigError, nearest, shown

NO_LAYERS = "none"
AUTO: Literal["auto"] = "auto"
ADAMW_DECAY = 0.004  # Keras's default
# The loop draws dropout in steps of 1/65,536. Nearer to 1 the rate is no more what was asked for, or 1 itself.
MOST_DROPOUT = 0.999
MOST_SIDE = 4_096  # pixels of a picture
Value = str | int | float | None  # of a field


def _none(value: object) -> object:
    return None if value == "none" else value


def _text(value: object) -> object:
    return str(value) if isinstance(value, (int, float)) else value


def _widths(value: str) -> str:
    if value == NO_LAYERS:
        return value
    widths = value.split("-")
    if not all(width.isascii() and width.isdigit() and 1 <= int(width) <= 65_536 for width in widths):
        raise ValueError(f"expected widths between 1 and 65536 such as 128 or 20-7-5, or {NO_LAYERS}")
    return "-".join(str(int(width)) for width in widths)


def _validation(value: str) -> str:
    if value == "auto":
        return value
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not (0 < number < 1 or (1 <= number < 2**31 and number == int(number))):
        raise ValueError("expected auto, a fraction such as 0.2, or a count such as 5000")
    return repr(number) if number < 1 else str(int(number))


def _size(value: str | None) -> str | None:
    if value is None:
        return None
    sides = value.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and 1 <= int(side) <= MOST_SIDE for side in sides):
        raise ValueError(f"expected a height and a width of 1 to {MOST_SIDE:,} pixels, such as 28x28")
    return "x".join(str(int(side)) for side in sides)


def _decay(value: object) -> object:
    if value == AUTO:
        return value
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise ValueError(f"expected {AUTO}, or a number of at least 0")
    return number


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(_Part):
    """The dataset, and which of its training rows are kept for validation."""

    source: str = Field(
        default="auto",
        min_length=1,
        description="auto, mnist, fashion_mnist, cifar10, digits, iris, wine, breast_cancer, synthetic, or the path of "
        "an .npz, .csv or .parquet file or of a folder of pictures",
    )
    target: Annotated[str | None, BeforeValidator(_none), BeforeValidator(_text)] = Field(
        default=None, min_length=1, description="of a table: the column that has the labels"
    )
    size: Annotated[str | None, BeforeValidator(_none), AfterValidator(_size)] = Field(
        default=None, description="of a folder of pictures: height and width that they are scaled to, such as 28x28"
    )
    validation: Annotated[str, BeforeValidator(_text), AfterValidator(_validation)] = Field(
        default="auto",
        description="training rows kept for validation: a count or a fraction (auto: 5000, but at most 15 %)",
    )
    fold: Annotated[int | None, BeforeValidator(_none)] = Field(
        default=None,
        ge=0,
        lt=2**31,
        description="validate on this twelfth of the training rows instead, drawn by class: 0 to 11 take turns, "
        "12 to 23 again in another permutation; none: no fold",
    )


class NetworkConfig(_Part):
    """The network and its regularization: what `network.build` reads beside the seed."""

    pixels: Literal["scaled", "raw"] = Field(
        default="scaled", description="what the first layer gets: pixels divided by 255, or as they are, 0 to 255"
    )
    hidden: Annotated[str, BeforeValidator(_text), AfterValidator(_widths)] = Field(
        default="128", description="widths of the hidden layers, such as 128 or 20-7-5, or none"
    )
    activation: Literal["relu", "tanh", "softsign", "gelu", "sigmoid", "elu", "selu", "silu", "leaky_relu"] = Field(
        default="relu", description="activation of the hidden layers"
    )
    batch_norm: Literal["none", "before", "after"] = Field(
        default="none", description="batch normalization before or after the activation, or none"
    )
    dropout: float = Field(
        default=0.0, ge=0, le=MOST_DROPOUT, description="share of the hidden units that are dropped during training"
    )
    initializer: Literal[
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
        "random_normal", "random_uniform", "small_normal", "he_fan_out", "zeros",
    ] = Field(
        default="glorot_uniform", description="initializer of the kernels (small_normal: sd 0.01; he_fan_out: normal, "
        "sd √(2 / units), not inputs); biases start at 0"
    )  # fmt: skip
    l2: float = Field(default=0.0, ge=0, description="λ of the penalty λ Σ w² on the kernels that l2_on names")
    l2_on: Literal["hidden", "all"] = Field(
        default="hidden", description="kernels with a penalty: the hidden layers', or all with the output layer's"
    )

    @property
    def widths(self) -> tuple[int, ...]:
        """The hidden layers' widths, in order; empty for a linear classifier."""
        return () if self.hidden == NO_LAYERS else tuple(int(width) for width in self.hidden.split("-"))


class TrainingConfig(_Part):
    """The optimizer, the batches, and when training stops."""

    optimizer: Literal["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"] = Field(
        default="adam", description="update rule"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="step size")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="used by the optimizers momentum and nesterov only")
    decay: Annotated[float | Literal["auto"], BeforeValidator(_decay)] = Field(
        default=AUTO,
        description="decoupled weight decay, 0 or more, as in Keras's optimizers; "
        f"auto: {ADAMW_DECAY} for adamw, 0 for the others",
    )
    batch_size: int = Field(default=32, ge=1, description="rows per step")
    epochs: int = Field(default=5, ge=1, le=100_000, description="maximum number of passes over the training rows")
    patience: Annotated[int | None, BeforeValidator(_none)] = Field(
        default=None,
        ge=0,
        description="epochs without a lower val_loss before training stops and restores the best weights; none: never",
    )
    min_delta: float = Field(default=0.0, ge=0, description="val_loss counts as lower if it falls by more than this")
    validate_every: Annotated[int | None, BeforeValidator(_none)] = Field(
        default=None,
        ge=1,
        description="steps between measurements of val_loss within an epoch; none: only at its end",
    )
    patience_steps: Annotated[int | None, BeforeValidator(_none)] = Field(
        default=None,
        ge=1,
        description="steps without a lower val_loss, where it is measured, before training stops; none: never",
    )

    @property
    def weight_decay(self) -> float:
        """The weight decay; where nobody has said it, the optimizer's own."""
        if isinstance(self.decay, float):
            return self.decay
        return ADAMW_DECAY if self.optimizer == "adamw" else 0.0


class TrialConfig(_Part):
    """Data, network, training and seed of one trial; immutable, and checked when made."""

    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(
        default=1, ge=0, lt=2**31, description="sets the initial weights, the order of the rows and the dropout"
    )

    @classmethod
    def parse(cls, values: Mapping[str, object], *, where: object = None) -> "TrialConfig":
        """Return the config with `values` (typed, or as text) in place of the defaults.

        Raises ConfigError, which names the field, what it takes and what it got.
        """
        nested: dict[str, dict[str, object]] = {"data": {}, "network": {}, "training": {}}
        top: dict[str, object] = {}
        for name, value in values.items():
            _check_name(name, where)
            if isinstance(value, bool):  # would pass for the numbers 0 and 1
                raise ConfigError(f"{name} cannot be {value}", where=where, expected="a number or a word")
            *part, attribute = _PATHS[name]
            (nested[part[0]] if part else top)[attribute] = value
        try:
            return cls.model_validate({**nested, **top})
        except ValidationError as failure:
            first = failure.errors()[0]
            name = next(name for name, path in _PATHS.items() if path == first["loc"])
            message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            raise ConfigError(
                f"{name} cannot be {shown(first['input'])}", where=where, expected=message.removeprefix("expected ")
            ) from None

    @classmethod
    def recorded(cls, params: Mapping[str, str], *, where: object = None) -> "TrialConfig":
        """Return the config that the params of a run record, among others; raises ConfigError.

        A run from before a field existed did what it did: until `l2_on`, the penalty was on every kernel.
        """
        before = {"l2_on": "all"} if "l2" in params else {}
        return cls.parse({**before, **{name: params[name] for name in FIELDS if name in params}}, where=where)

    def get(self, name: str) -> Value:
        """Return the value of the field with this flat name."""
        value: Value = attrgetter(".".join(_PATHS[name]))(self)
        return value

    def flat(self) -> dict[str, Value]:
        """Return the value of every field, by its flat name."""
        return {name: self.get(name) for name in FIELDS}

    def effective(self, name: str) -> Value:
        """Return the value with which the trial is trained: that of `get`, or what ``auto`` stands for."""
        return self.training.weight_decay if name == "weight_decay" else self.get(name)

    def canonical(self) -> "TrialConfig":
        """Return the config with every field that has no effect at its default: equal ones train the same network."""
        values = {name: FIELDS[name].default for name in FIELDS if not self.uses(name)}
        if self.training.weight_decay == self.replace({"weight_decay": AUTO}).training.weight_decay:
            values["weight_decay"] = AUTO
        return self.replace(values)

    def uses(self, name: str) -> bool:
        """Return whether a field has an effect beside the others."""
        if name == "min_delta":
            return self.training.patience is not None or self.training.patience_steps is not None
        if name == "validation":  # a fold has as many rows as it has
            return self.data.fold is None
        if any(self.get(other) in values for other, values in UNLESS.get(name, {}).items()):
            return True
        return not any(self.get(other) in values for other, values in WITHOUT_EFFECT.get(name, {}).items())

    def replace(self, values: Mapping[str, object], *, where: object = None) -> "TrialConfig":
        """Return a config that differs from this one in `values` only, checked like a new one."""
        return self.parse({**self.flat(), **values}, where=where)

    def replace_each(self, values: Mapping[str, object], where: Callable[[str], object]) -> "TrialConfig":
        """Return the same as `replace`, but check each value by itself: an error says `where` its field is."""
        config = self
        for name, value in values.items():
            config = config.replace({name: value}, where=where(name))
        return config

    def as_text(self) -> dict[str, str]:
        """Return every field as one word of text, floats in full precision; `parse` reads it back."""
        return {name: value_text(value) for name, value in self.flat().items()}

    def changes(self) -> dict[str, str]:
        """Return the fields that are not at their defaults, as text."""
        return {name: text for name, text in self.as_text().items() if text != value_text(FIELDS[name].default)}


# --- flat names -------------------------------------------------------------------------------------


def _flat_fields() -> Iterator[tuple[str, tuple[str, ...], FieldInfo]]:
    """Yield each field's flat name, its path of attributes and its definition, in the order of every table."""
    for attribute, info in DataConfig.model_fields.items():
        yield "data" if attribute == "source" else attribute, ("data", attribute), info
    network = {name: (name, ("network", name), info) for name, info in NetworkConfig.model_fields.items()}
    penalty = [network.pop(name) for name in ("l2", "l2_on")]
    yield from network.values()
    for name, info in TrainingConfig.model_fields.items():
        yield "weight_decay" if name == "decay" else name, ("training", name), info
        if name == "decay":
            yield from penalty  # the two penalties belong side by side in every table
    yield "seed", ("seed",), TrialConfig.model_fields["seed"]


_PATHS = {name: path for name, path, _ in _flat_fields()}
# Every field by its flat name, with its default, its description and what it takes.
FIELDS: Mapping[str, FieldInfo] = {name: info for name, _, info in _flat_fields()}
# The fields that make a configuration, whatever data and seed it is tried with.
HYPERPARAMETERS = tuple(name for name, path in _PATHS.items() if path[0] in ("network", "training"))


OPTIMIZERS = get_args(TrainingConfig.model_fields["optimizer"].annotation)
# The fields that have no effect beside certain values of others, by field and other field.
WITHOUT_EFFECT: Mapping[str, Mapping[str, tuple[Value, ...]]] = {
    "momentum": {"optimizer": tuple(name for name in OPTIMIZERS if name not in ("momentum", "nesterov"))},
    **{name: {"hidden": (NO_LAYERS,)} for name in ("activation", "batch_norm", "dropout", "l2")},
    "l2_on": {"l2": (0.0,)},
}
# The values of others beside which a field has an effect all the same: the output layer is there without hidden ones.
UNLESS: Mapping[str, Mapping[str, tuple[Value, ...]]] = {"l2": {"l2_on": ("all",)}}


def _check_name(name: str, where: object) -> None:
    if name not in FIELDS:
        raise ConfigError(f"no hyperparameter is called {name}", where=where, hint=nearest(str(name), FIELDS))


# --- text -------------------------------------------------------------------------------------------


def value_text(value: object) -> str:
    """Return one field's value as a person would write it: ``none``, ``0.001``, ``1e-05``, ``20-7-5``."""
    if value is None:
        return "none"
    return f"{value!r}" if isinstance(value, float) else str(value)


def brief(value: object) -> str:
    """Return one field's value for display: a float with three significant digits at most."""
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)


def settings_text(settings: Mapping[str, object], text: Callable[[object], str] = value_text) -> str:
    """Return settings as you would type them: ``hidden=20-7-5 dropout=0.1``; `text` formats a value."""
    return " ".join(f"{name}={text(value)}" for name, value in settings.items())


def parse_settings(text: str, *, where: object = "set") -> dict[str, str]:
    """Return ``field=value,field=value``, or ``none``, as a mapping; the values are still text.

    Raises ConfigError if a part has no ``=``, or if a field is given twice or does not exist.
    """
    settings: dict[str, str] = {}
    if text.strip() == "none":
        return settings
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ConfigError("not a setting", where=where, expected="field=value,field=value", got=shown(part))
        _check_name(name, where)
        if name in settings:
            raise ConfigError(f"{name} is given twice", where=where, hint="Keep one of them.")
        settings[name] = value
    return settings
