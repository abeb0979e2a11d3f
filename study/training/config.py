"""TrialConfig: everything that decides the outcome of a trial, in four parts: data, network, training and seed.

Each field is written once: here, or as a parameter of the network's function. Where a config meets text it is flat: the
names of its fields are the parameters of an MLflow run, the keys of a YAML file, the options of ``train`` and the names
that ``set=field=value`` takes.
"""

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter
from pydantic.fields import FieldInfo

from study.base.errors import ConfigError, nearest, shown
from study.training import fields
from study.training.fields import AUTO, Part, Value, brief, checked, value_text
from study.training.networks import cnn, mlp
from study.training.networks.network import Effects, Network, find, know, network_of

__all__ = ["AUTO", "Value", "brief", "value_text"]

ADAMW_DECAY = 0.004  # Keras's default
MLP = "mlp"
NETWORK = "network"  # the field that names it


class DataConfig(Part):
    """The dataset, and which of its training rows are kept for validation."""

    source: str = Field(
        default="auto",
        min_length=1,
        description="auto, mnist, fashion_mnist, cifar10, digits, iris, wine, breast_cancer, synthetic, or the path of "
        "an .npz, .csv or .parquet file or of a folder of pictures",
    )
    target: Annotated[str | None, BeforeValidator(fields.none), BeforeValidator(fields.text)] = Field(
        default=None, min_length=1, description="if the data are a table: the column that has the labels"
    )
    size: Annotated[str | None, BeforeValidator(fields.none), AfterValidator(fields.size)] = Field(
        default=None,
        description="if the data are a folder of pictures: the height and width to scale them to, such as 28x28",
    )
    validation: Annotated[str, BeforeValidator(fields.text), AfterValidator(fields.validation_rows)] = Field(
        default="auto",
        description="training rows kept for validation: a count or a fraction (auto: 5000, but at most 15 %)",
    )
    fold: Annotated[int | None, BeforeValidator(fields.none)] = Field(
        default=None,
        ge=0,
        lt=2**31,
        description="validate on this twelfth of the training rows instead, drawn by class: 0 to 11 cover all rows, "
        "12 to 23 do so in another permutation; none: no fold",
    )


class NetworkConfig(Part):
    """The network, and its own hyperparameters: the value of each, in the order of the function's parameters."""

    name: str = Field(default=MLP, description="mlp, cnn, or a file of your own, such as my_net.py or my_net.py:NAME")
    pixels: Literal["scaled", "raw"] = Field(
        default="scaled", description="what the first layer gets: pixels divided by 255, or as they are, 0 to 255"
    )
    settings: tuple[tuple[str, Any], ...] = ()


class TrainingConfig(Part):
    """The optimizer, the batches, and when training stops."""

    optimizer: Literal["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"] = Field(
        default="adam", description="update rule"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="step size")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="used by the optimizers momentum and nesterov only")
    decay: Annotated[float | Literal["auto"], BeforeValidator(fields.decay)] = Field(
        default=AUTO,
        description="decoupled weight decay, 0 or more, as in Keras's optimizers; "
        f"auto: {ADAMW_DECAY} for adamw, 0 for the others",
    )
    batch_size: int = Field(default=32, ge=1, description="rows per step")
    class_weight: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: in training every class counts the same in the loss, however many rows it has",
    )
    epochs: int = Field(default=5, ge=1, le=100_000, description="maximum number of passes over the training rows")
    patience: Annotated[int | None, BeforeValidator(fields.none)] = Field(
        default=None,
        ge=0,
        description="epochs without a lower val_loss before training stops and restores the best weights; none: never",
    )
    min_delta: float = Field(default=0.0, ge=0, description="val_loss counts as lower if it falls by more than this")
    validate_every: Annotated[int | None, BeforeValidator(fields.none)] = Field(
        default=None,
        ge=1,
        description="steps between measurements of val_loss within an epoch; none: only at its end",
    )
    patience_steps: Annotated[int | None, BeforeValidator(fields.none)] = Field(
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


class TrialConfig(Part):
    """Data, network, training and seed of one trial; immutable, and checked when made."""

    data: DataConfig = DataConfig()
    network: NetworkConfig = Field(default_factory=lambda: _network({}, None))
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(
        default=1, ge=0, lt=2**31, description="sets the initial weights, the order of the rows and the dropout"
    )

    @classmethod
    def parse(cls, values: Mapping[str, object], *, where: object = None) -> "TrialConfig":
        """Return the config with `values` (typed, or as text) in place of the defaults.

        Raises ConfigError, which names the field, what it takes and what it got.
        """
        network = _network(values, where)
        own = find(network.name).parameters
        nested: dict[str, dict[str, object]] = {"data": {}, "training": {}}
        top: dict[str, object] = {"network": network}
        for name, value in values.items():
            if name in own:
                continue
            check_name(name, fields_of(network.name), where)
            *part, attribute = _PATHS[name]
            if part == ["network"]:
                continue
            (nested[part[0]] if part else top)[attribute] = _checked(name, value, where)
        return cls.model_validate({**nested, **top})

    @classmethod
    def recorded(cls, params: Mapping[str, str], *, where: object = None) -> "TrialConfig":
        """Return the config that the params of a run record, among others; raises ConfigError.

        A run from before a field existed did what it did: until `l2_on`, the penalty was on every kernel.
        """
        before = {"l2_on": "all"} if "l2" in params and NETWORK not in params else {}
        known = fields_of(params.get(NETWORK, MLP), where)
        return cls.parse({**before, **{name: params[name] for name in known if name in params}}, where=where)

    @property
    def of_network(self) -> dict[str, Value]:
        """The fields that make a configuration: network and training, whatever data and seed it is tried with."""
        return {name: value for name, value in self.flat().items() if name not in DATA_AND_SEED}

    @property
    def fields(self) -> Mapping[str, FieldInfo]:
        """Every field by its flat name, in the order of every table; which ones there are depends on the network."""
        return fields_of(self.network.name)

    def get(self, name: str) -> Value:
        """Return the value of the field with this flat name."""
        if name in _PATHS:
            value: Value = attrgetter(".".join(_PATHS[name]))(self)
            return value
        found: Value = dict(self.network.settings)[name]
        return found

    def flat(self) -> dict[str, Value]:
        """Return the value of every field, by its flat name."""
        return {name: self.get(name) for name in self.fields}

    def effective(self, name: str) -> Value:
        """Return the value with which the trial is trained: that of `get`, or what ``auto`` stands for."""
        return self.training.weight_decay if name == "weight_decay" else self.get(name)

    def canonical(self) -> "TrialConfig":
        """Return the config with every field that has no effect at its default: equal ones train the same network."""
        values = {name: info.default for name, info in self.fields.items() if not self.uses(name)}
        if self.training.weight_decay == self.replace({"weight_decay": AUTO}).training.weight_decay:
            values["weight_decay"] = AUTO
        return self.replace(values)

    def uses(self, name: str) -> bool:
        """Return whether a field has an effect beside the others."""
        if name == "min_delta":
            return self.training.patience is not None or self.training.patience_steps is not None
        if name == "validation":  # a fold has as many rows as it has
            return self.data.fold is None
        if any(self.get(other) in values for other, values in self.unless.get(name, {}).items()):
            return True
        return not any(self.get(other) in values for other, values in self.without_effect.get(name, {}).items())

    @property
    def without_effect(self) -> Effects:
        """The fields that have no effect beside certain values of others, by field and other field."""
        return {**WITHOUT_EFFECT, **find(self.network.name).without_effect}

    @property
    def unless(self) -> Effects:
        """The values of others beside which a field has an effect all the same."""
        return find(self.network.name).unless

    def replace(self, values: Mapping[str, object], *, where: object = None) -> "TrialConfig":
        """Return a config that differs from this one in `values` only, checked like a new one.

        Another network begins with its own defaults: what a parameter means is its own affair.
        """
        kept: Mapping[str, object] = self.flat()
        if values.get(NETWORK, self.network.name) != self.network.name:
            kept = {name: value for name, value in kept.items() if name in _PATHS}
        return self.parse({**kept, **values}, where=where)

    def replace_each(self, values: Mapping[str, object], where: Callable[[str], object]) -> "TrialConfig":
        """Return the same as `replace`, but check each value by itself: an error says `where` its field is."""
        config = self
        for name in sorted(values, key=lambda name: name != NETWORK):  # the network first: it brings its fields
            config = config.replace({name: values[name]}, where=where(name))
        return config

    def as_text(self) -> dict[str, str]:
        """Return every field as one word of text, floats in full precision; `parse` reads it back."""
        return {name: value_text(value) for name, value in self.flat().items()}

    def changes(self) -> dict[str, str]:
        """Return the fields that are not at their defaults, as text."""
        texts = self.as_text()
        return {name: text for name, text in texts.items() if text != value_text(self.fields[name].default)}


# --- flat names -------------------------------------------------------------------------------------

_FLAT_NAMES = {("data", "source"): "data", ("training", "decay"): "weight_decay", ("network", "name"): NETWORK}
_PARTS: tuple[tuple[str, type[Part]], ...] = (
    ("data", DataConfig), ("network", NetworkConfig), ("training", TrainingConfig)
)  # fmt: skip
_INFOS = {
    (part, attribute): info
    for part, model in _PARTS
    for attribute, info in model.model_fields.items()
    if attribute != "settings"
}
# The path of attributes to each field that is there whatever the network.
_PATHS: Mapping[str, tuple[str, ...]] = {_FLAT_NAMES.get(path, path[-1]): path for path in _INFOS} | {"seed": ("seed",)}
# What these fields take.
GENERAL: Mapping[str, FieldInfo] = {
    name: _INFOS[path[0], path[1]] if path != ("seed",) else TrialConfig.model_fields["seed"]
    for name, path in _PATHS.items()
}
# The fields that say on which data a configuration is tried, and with which seed; all others are hyperparameters.
DATA_AND_SEED = tuple(name for name, path in _PATHS.items() if path[0] in ("data", "seed"))


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    info = GENERAL[name]
    annotation: Any = Annotated[info.annotation, info]
    return TypeAdapter(annotation, config={"allow_inf_nan": False})


def _checked(name: str, value: object, where: object) -> Value:
    return checked(_adapter(name), name, value, where)


def _network(values: Mapping[str, object], where: object) -> NetworkConfig:
    """Return the network's part of a config from its flat `values`."""
    network = find(values.get(NETWORK, MLP), where)
    pixels: Any = _checked("pixels", values.get("pixels", GENERAL["pixels"].default), where)
    settings = network.complete({name: values[name] for name in network.parameters if name in values}, where)
    return NetworkConfig(name=network.name, pixels=pixels, settings=settings)


@cache
def _fields_of(name: str) -> Mapping[str, FieldInfo]:
    own = {field: parameter.info for field, parameter in find(name).parameters.items()}
    first = [field for field, path in _PATHS.items() if path[0] in ("data", "network")]
    return (
        {field: GENERAL[field] for field in first}
        | own
        | {field: info for field, info in GENERAL.items() if field not in first}
    )


def fields_of(network: str, where: object = None) -> Mapping[str, FieldInfo]:
    """Return the fields of a config with this network, by flat name; raises ConfigError if it is not known."""
    find(network, where)
    return _fields_of(network)


OPTIMIZERS = get_args(TrainingConfig.model_fields["optimizer"].annotation)
WITHOUT_EFFECT: Effects = {
    "momentum": {"optimizer": tuple(name for name in OPTIMIZERS if name not in ("momentum", "nesterov"))}
}
know(network_of(MLP, mlp.mlp, GENERAL, None, work=mlp.work, without_effect=mlp.WITHOUT_EFFECT, unless=mlp.UNLESS))
know(network_of("cnn", cnn.cnn, GENERAL, None, check=cnn.check, work=cnn.work))
BUILT_IN = (MLP, "cnn")
# The fields of a config with the default network.
FIELDS = fields_of(MLP)


def network_of_config(config: TrialConfig) -> Network:
    """Return the network that a config names."""
    return find(config.network.name)


def check_name(name: str, known: Mapping[str, object], where: object) -> None:
    """Raise ConfigError, with the nearest name, if no field is called this."""
    if name not in known:
        raise ConfigError(f"no hyperparameter is called {name}", where=where, hint=nearest(str(name), known))


# --- text -------------------------------------------------------------------------------------------


def settings_text(settings: Mapping[str, object], text: Callable[[object], str] = value_text) -> str:
    """Return settings as you would type them: ``hidden=20-7-5 dropout=0.1``; `text` formats a value."""
    return " ".join(f"{name}={text(value)}" for name, value in settings.items())


def parse_settings(text: str, *, where: object = "set") -> dict[str, str]:
    """Return ``field=value,field=value``, or ``none``, as a mapping; neither names nor values are checked.

    Raises ConfigError if a part has no ``=``, or if a field is given twice.
    """
    settings: dict[str, str] = {}
    if text.strip() == fields.NONE:
        return settings
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ConfigError("not a setting", where=where, expected="field=value,field=value", got=shown(part))
        if name in settings:
            raise ConfigError(f"{name} is given twice", where=where, hint="Keep one of them.")
        settings[name] = value
    return settings
