import pytest
from factories.configs import OTHER
from pydantic import ValidationError

from study.base.errors import ConfigError
from study.training.config import FIELDS, TrialConfig, parse_settings, value_text
from study.training.fields import width_list

WRONG = {
    "validate_every": ["0", "-1", "1.5", "never", True],
    "patience_steps": ["0", "-1", "1.5", "never", True],
    "data": ["", 3, None],
    "target": ["", True],
    "size": ["", "28", "28x", "28x0", "28x28x3", "4097x1", "28 x 28", 28, True],
    "validation": ["", "0", "-1", "1.5", "some", "nan", "inf", "2147483648", True, None],
    "fold": ["x", -1, 2**31, 1.5, True],
    "pixels": ["RAW", "255", 1, None],
    "hidden": ["", "0", "-5", "65537", "20-", "20-0", "20,7", "wide", "٣", 1.5, True, None],
    "activation": ["RELU", "softmax", 1, None],
    "batch_norm": ["yes", True, None],
    "network": ["cmm", "mlp@00000000", 3, True, None],
    "class_weight": ["heavy", "", True, None],
    "dropout": ["a lot", -0.1, 1, 0.999995, 0.9991, "nan", True, None],
    "initializer": ["ones", "", None],
    "optimizer": ["Adam", "lion", 3, None],
    "learning_rate": ["fast", 0, -1e-3, "inf", True, None],
    "momentum": ["x", -0.1, 1, True, None],
    "weight_decay": ["x", -1e-9, "nan", True, None],
    "l2": ["x", -1e-9, "inf", True, None],
    "l2_on": ["output", "", True, None],
    "batch_size": ["x", 0, -8, "8.5", 1.5, True, None],
    "epochs": ["x", 0, 100_001, 2.5, True, None],
    "patience": ["never", -1, 1.5, True],
    "min_delta": ["x", -1e-9, "nan", True, None],
    "seed": ["x", -1, 2**31, 0.5, True, None],
}


def test_the_cases_cover_every_field():
    assert {*OTHER, "network"} == set(WRONG) == set(FIELDS)


# --- one field --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_that_a_field_cannot_have_is_refused_by_name(name, value):
    with pytest.raises(ConfigError) as error:
        TrialConfig.parse({name: value}, where="set")
    assert str(error.value).startswith(f"set: {name} cannot be {value!r}; expected ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, value",
    [
        ("dropout", 0), ("dropout", 0.999), ("momentum", 0), ("l2", 0), ("batch_size", 1), ("epochs", 1),
        ("epochs", 100_000), ("patience", 0), ("seed", 0), ("seed", 2**31 - 1),
    ],
)  # fmt: skip
def test_a_field_takes_the_ends_of_its_range(name, value):
    assert TrialConfig.parse({name: value}).get(name) == value


@pytest.mark.parametrize("value, hidden, widths", [
    ("128", "128", (128,)), ("20-7-5", "20-7-5", (20, 7, 5)), ("020-7", "20-7", (20, 7)), (300, "300", (300,)),
    ("65536", "65536", (65536,)), ("none", "none", ()),
])  # fmt: skip
def test_hidden_gives_the_widths(value, hidden, widths):
    config = TrialConfig.parse({"hidden": value})
    assert (config.get("hidden"), width_list(hidden)) == (hidden, widths)


@pytest.mark.parametrize("value, validation", [
    ("auto", "auto"), (5000, "5000"), ("5000", "5000"), ("5000.0", "5000"), (0.2, "0.2"), ("0.20", "0.2"), ("1", "1"),
])  # fmt: skip
def test_validation_has_one_wording_for_one_split(value, validation):
    assert TrialConfig.parse({"validation": value}).data.validation == validation


def test_beside_a_fold_validation_says_nothing():
    one, other = (TrialConfig.parse({"fold": "3", "validation": rows}) for rows in ("120", "0.2"))
    assert one != other and one.canonical() == other.canonical()
    assert one.canonical() != one.replace({"fold": 4}).canonical()
    assert TrialConfig.parse({"validation": "120"}).canonical().data.validation == "120"


@pytest.mark.parametrize("value, patience", [("none", None), (None, None), ("3", 3)])
def test_patience_may_be_none(value, patience):
    assert TrialConfig.parse({"patience": value}).training.patience == patience


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"^a\.yaml:4: no hyperparameter is called dropuot\. Did you mean dropout\?$"):
        TrialConfig.parse({"dropuot": 0.1}, where="a.yaml:4")


# --- the record -------------------------------------------------------------------------------------


def test_a_config_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        TrialConfig().training.epochs = 3


def test_replace_leaves_the_original_and_checks_the_copy():
    config = TrialConfig.parse({"hidden": "20-7"})
    assert config.replace({"dropout": "0.3"}) == TrialConfig.parse({"hidden": "20-7", "dropout": 0.3})
    assert config.get("dropout") == 0.0
    with pytest.raises(ConfigError, match="set: dropout cannot be 2"):
        config.replace({"dropout": 2}, where="set")


@pytest.mark.parametrize("values", [{}, *({name: value} for name, value in OTHER.items()), OTHER,
                                    {"learning_rate": 0.1 + 0.2, "l2": 5e-324, "patience": "none"}])  # fmt: skip
def test_a_config_survives_being_written_as_text(values):
    config = TrialConfig.parse(values)
    text = config.as_text()
    assert list(text) == list(FIELDS)
    assert TrialConfig.parse(text) == config
    assert TrialConfig.parse(text).as_text() == text


def test_text_is_what_was_typed():
    assert TrialConfig.parse(OTHER).as_text() == {**OTHER, "network": "mlp"}


@pytest.mark.parametrize(
    "value, text",
    [(None, "none"), (1e-3, "0.001"), (1e-5, "1e-05"), (0.1 + 0.2, "0.30000000000000004"), (8, "8"), ("20-7", "20-7")],
)
def test_value_text_is_full_precision(value, text):
    assert value_text(value) == text


def test_a_penalty_without_hidden_layers_has_an_effect_on_the_output_alone():
    linear = TrialConfig.parse({"hidden": "none", "l2": 0.1})
    assert not linear.uses("l2") and linear.replace({"l2_on": "all"}).uses("l2")
    assert linear.canonical() == TrialConfig.parse({"hidden": "none"})


def test_a_run_from_before_a_field_is_read_as_what_it_was():
    params = {"l2": "0.01", "hidden": "20-7", "task": "mine"}
    assert TrialConfig.recorded(params) == TrialConfig.parse({"l2": 0.01, "hidden": "20-7", "l2_on": "all"})
    assert TrialConfig.recorded({**params, "l2_on": "hidden"}).get("l2_on") == "hidden"


# --- set=field=value --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, settings",
    [
        ("", {}),
        ("hidden=20-7", {"hidden": "20-7"}),
        ("dropout=0.1,seed=2", {"dropout": "0.1", "seed": "2"}),
        (" dropout = 0.1 , seed=2, ", {"dropout": "0.1", "seed": "2"}),
    ],
)
def test_settings_are_read_as_text(text, settings):
    assert parse_settings(text) == settings


@pytest.mark.parametrize("text, message", [
    ("dropout", "set: not a setting; expected field=value,field=value, got 'dropout'."),
    ("seed=1,dropout=", "set: not a setting; expected field=value,field=value, got 'dropout='."),
    ("=0.1", "set: not a setting; expected field=value,field=value, got '=0.1'."),
    ("seed=1,dropout=0.1,seed=1", "set: seed is given twice. Keep one of them."),
])  # fmt: skip
def test_a_setting_that_cannot_be_read_is_shown(text, message):
    with pytest.raises(ConfigError) as error:
        parse_settings(text)
    assert str(error.value) == message
