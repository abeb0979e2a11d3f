"""Search spaces: what a file may say, what is suggested from it, and where its errors are."""

import re

import pytest

from study.base import yaml_file
from study.base.errors import StudyError
from study.design.search_space import SPACES, SearchSpace, SpaceError, load_space, parse_space
from study.training.config import TrialConfig


class Dial:
    """Suggests the same share of every range, and of every list of choices."""

    def __init__(self, share: float):
        self.share = share

    def suggest_float(self, name, low, high, *, step, log):
        return low * (high / low) ** self.share if log else low + self.share * (high - low)

    def suggest_int(self, name, low, high, *, step, log):
        return low + round(self.share * (high - low) / step) * step

    def suggest_categorical(self, name, choices):
        return choices[min(int(self.share * len(choices)), len(choices) - 1)]


def parsed(fields: str, baseline: str = "{}") -> SearchSpace:
    return parse_space(f"baseline: {baseline}\nfields:\n{fields}", "mine", "mine.yaml")


def test_default_space_is_the_one_that_was_promised():
    default = load_space("default")
    words = {dimension.field: dimension.words for dimension in default.dimensions}
    assert words == {
        "learning_rate": "0.0001 … 0.1 (log)",
        "batch_size": "16, 32, 64, 128, 256",
        "l2": "1e-07 … 0.01 (log) or 0",
        "dropout": "0.0 … 0.6",
        "activation": "relu, tanh, softsign, gelu",
    }
    assert default.baseline == TrialConfig.parse({"epochs": 10})


@pytest.mark.parametrize("name", yaml_file.names(SPACES))
def test_every_space_begins_with_its_baseline_and_is_read_back(name):
    found = load_space(name)
    assert parse_space(found.as_yaml(), name, "again") == found
    first = found.first()
    for dimension in found.dimensions:
        if dimension.field in first:
            assert dimension.contains(found.baseline.get(dimension.field))


@pytest.mark.parametrize("share, expected", [
    (0.0, {"learning_rate": 1e-4, "batch_size": 16, "l2": 0.0, "dropout": 0.0, "activation": "relu"}),
    (0.1, {"l2": 0.0}),  # 4e-8, below 1e-7
    (0.5, {"learning_rate": pytest.approx(10**-2.5), "batch_size": 64, "l2": pytest.approx(1e-5), "dropout": 0.3}),
    (1.0, {"learning_rate": pytest.approx(0.1), "l2": pytest.approx(0.01), "dropout": 0.6, "activation": "gelu"}),
])  # fmt: skip
def test_settings_are_those_that_were_drawn(share, expected):
    settings = load_space("default").suggest(Dial(share))
    assert {name: settings[name] for name in expected} == expected


def test_a_field_with_a_condition_is_searched_where_it_holds():
    found = parsed(
        "  optimizer: {choices: [adam, momentum]}\n  momentum: {range: [0.5, 0.9], when: {optimizer: [momentum]}}"
    )
    assert found.suggest(Dial(0.0)) == {"optimizer": "adam"}
    assert found.suggest(Dial(1.0)) == {"optimizer": "momentum", "momentum": 0.9}
    assert found.first() == {"optimizer": "adam"}


def test_a_field_is_searched_only_where_it_has_an_effect():
    entries = "  momentum: {range: [0.5, 0.9]}\n  optimizer: {choices: [adam, sgd, momentum, nesterov]}\n"
    found = parsed(entries)
    assert [each.field for each in found.dimensions] == ["optimizer", "momentum"]
    assert found.suggest(Dial(0.0)) == {"optimizer": "adam"}
    assert found.suggest(Dial(1.0)) == {"optimizer": "nesterov", "momentum": 0.9}
    assert parse_space(found.as_yaml(), "mine", "again") == found
    narrow = parsed("  hidden: {choices: [none, '8']}\n  dropout: {choices: [0.0, 0.5]}", "{hidden: '8'}")
    assert narrow.points() == [{"hidden": "none"}, {"hidden": "8", "dropout": 0.0}, {"hidden": "8", "dropout": 0.5}]


@pytest.mark.parametrize("others, baseline, conditions", [
    ("  hidden: {choices: [none, '8']}", "{hidden: '8'}", {"hidden": ("8",)}),
    ("  hidden: {choices: [none, '8']}", "{l2_on: all, hidden: '8'}", {}),
    ("  hidden: {choices: [none, '8']}\n  l2_on: {choices: [hidden, all]}", "{hidden: '8', l2: 0.01}", {}),
])  # fmt: skip
def test_a_penalty_is_searched_where_it_is_on_a_kernel(others, baseline, conditions):
    found = parsed(f"  l2: {{range: [1.0e-6, 1.0e-2], log: true, zero_below: 1.0e-5}}\n{others}", baseline)
    assert {each.field: each.when for each in found.dimensions}["l2"] == conditions
    assert parse_space(found.as_yaml(), "mine", "again") == found


@pytest.mark.parametrize("fields, message", [
    ("  momentum: {range: [0.5, 0.9]}", "mine.yaml:3: momentum has no effect when optimizer is adam. Leave it out, or "
                                        "let optimizer be another."),
    ("  optimizer: {choices: [adam, momentum]}\n  momentum: {range: [0.5, 0.9], when: {optimizer: [adam]}}",
     "mine.yaml:4: momentum has no effect when optimizer is adam."),
    ("  momentum: {choices: [0.5, 0.9]}\n  optimizer: {choices: [adam, momentum], when: {momentum: [0.9]}}",
     "mine.yaml:3: momentum and optimizer are each searched under a condition on the other."),
])  # fmt: skip
def test_a_field_that_never_has_an_effect_is_refused(fields, message):
    with pytest.raises(SpaceError) as error:
        parsed(fields)
    assert str(error.value).startswith(message)


def test_the_baselines_weight_decay_is_what_auto_stands_for():
    decay = "  weight_decay: {range: [1.0e-8, 1.0e-2], log: true, zero_below: 1.0e-7}"
    assert parsed(decay).first() == {"weight_decay": 1e-8}  # drawn for 0
    assert parsed(decay, "{optimizer: adamw}").first() == {"weight_decay": 0.004}
    assert parsed("  weight_decay: {choices: [auto, 0.01]}").first() == {"weight_decay": "auto"}


def test_steps_are_what_a_person_would_write():
    found = parsed("  momentum: {range: [0.8, 0.95], step: 0.05}", "{optimizer: momentum}")
    assert found.dimensions[0].values == (0.8, 0.85, 0.9, 0.95)
    assert [found.suggest(Dial(share))["momentum"] for share in (1 / 3, 2 / 3, 1)] == [0.85, 0.9, 0.95]


def test_every_point_of_a_grid_is_counted_once():
    found = parsed(
        "  optimizer: {choices: [adam, momentum]}\n"
        "  momentum: {range: [0.8, 0.9], step: 0.05, when: {optimizer: [momentum]}}\n"
        "  batch_size: {range: [32, 96], step: 32}"
    )
    points = found.points()
    assert len(points) == (1 + 3) * 3 and points[0] == {"optimizer": "adam", "batch_size": 32}
    assert parsed("  dropout: {range: [0, 0.5]}").points() is None


def test_points_that_train_the_same_are_one():
    """What is drawn below `zero_below` means 0, which other fields may be searched beside."""
    space = parsed("""
  l2: {range: [0.0, 0.03], step: 0.01, zero_below: 0.02}
  dropout: {range: [0.0, 0.2], step: 0.1, when: {l2: [0.0]}}
""")
    points = space.points()
    assert [space.become(point) for point in points] == [
        *({"l2": 0.0, "dropout": dropout} for dropout in (0.0, 0.1, 0.2)), {"l2": 0.02}, {"l2": 0.03}
    ]  # fmt: skip
    assert space.first() in points and space.become(space.first()) == {"l2": 0.0, "dropout": 0.0}


def test_points_beyond_number_are_not_listed():
    many = "  batch_size: {range: [1, 1000000000]}"
    assert parsed(many).points() is None
    half = "  batch_size: {range: [1, 50000]}\n  dropout: {choices: [0.0, 0.5]}"
    assert len(parsed(half).points()) == 100_000
    assert parsed(half + "\n  activation: {choices: [relu, tanh]}").points() is None


def test_choices_are_typed_as_the_field_is():
    found = parsed("  hidden: {choices: [128, 20-7-5]}\n  patience: {choices: [none, 3]}")
    assert [one.choices for one in found.dimensions] == [("128", "20-7-5"), (None, 3)]


def test_another_baseline_stays_in_the_space():
    default = load_space("default")
    assert default.with_baseline({"hidden": "300"}).baseline.get("hidden") == "300"
    with pytest.raises(SpaceError, match=r"set: the baseline's batch_size 8 is not in the space.*16, 32, 64"):
        default.with_baseline({"batch_size": 8}, where="set")
    with pytest.raises(StudyError, match=r"set: epochs is not changed here. Use the parameter epochs."):
        default.with_baseline({"epochs": 3}, where="set")
    hint = r"set: validation is not changed here. Write it in the space's YAML file: baseline: \{validation: …\}."
    with pytest.raises(StudyError, match=hint):
        default.with_baseline({"validation": 0.1}, where="set")
    file = "baseline: {validation: 0.1}\nfields:\n  dropout: {range: [0, 0.5]}"
    assert parse_space(file, "mine", "mine.yaml").baseline.data.validation == "0.1"


@pytest.mark.parametrize("text, message", [
    ("fields:\n  dropuot: {range: [0, 0.5]}", "mine.yaml:2: no hyperparameter is called dropuot. Did you mean"),
    ("fields:\n  dropout: {rnge: [0, 0.5]}", "mine.yaml:2: no key is called rnge. Did you mean range?"),
    ("fields:\n  dropout:\n    range: [0, 1.5]",
     "mine.yaml:3: dropout cannot be 1.5; expected less than or equal to 0.999."),
    ("fields:\n  dropout: {range: [0.5, 0.1]}", "mine.yaml:2: the range of dropout is empty; expected"),
    ("fields:\n  dropout: {range: [0, 0.5], choices: [0]}", "mine.yaml:2: dropout needs either a range or choices."),
    ("fields:\n  dropout: {}", "mine.yaml:2: dropout needs either a range or choices."),
    ("fields:\n  activation: {range: [relu, tanh]}", "mine.yaml:2: activation has no range; expected choices"),
    ("fields:\n  activation: {choices: [relu, tahn]}", "mine.yaml:2: activation cannot be 'tahn'; expected 'relu'"),
    ("fields:\n  dropout: {range: [0, 0.5], step: 0.2}", "mine.yaml:2: the step of dropout does not fit"),
    ("fields:\n  activation: {choices: []}", "mine.yaml:2: choices cannot be []; expected [value, value]"),
    ("fields: {}", "mine.yaml:1: fields cannot be {}; expected field: {range: [low, high]}."),
    ("fields:\n  l2: {range: [0.1, 0.2]}\n  dropout: {range: [0, 0.5], when: {l2: [0.1]}}",
     "mine.yaml:3: l2 is hardly ever exactly one of these values"),
    ("fields:\n  activation: {choices: [relu, relu]}", "mine.yaml:2: a choice of activation appears twice"),
    ("fields:\n  learning_rate: {range: [0.0, 0.1], log: true}", "mine.yaml:2: learning_rate cannot be 0.0"),
    ("fields:\n  l2: {range: [0.0, 0.1], log: true}", "mine.yaml:2: a logarithmic range cannot begin at 0."),
    ("fields:\n  l2: {range: [0.0, 0.1], log: maybe}", "mine.yaml:2: log cannot be 'maybe'; expected true or false."),
    ("fields:\n  l2: {range: [0, 1.0e+308], step: 1.0e-300}", "mine.yaml:2: the step of l2 does not fit"),
    ("fields:\n  dropout: {range: [0, 0.5], step: 0.7}", "mine.yaml:2: the step of dropout does not fit"),
    ("fields:\n  dropout: {range: [0, 0.5], zero_below: 0.6}", "mine.yaml:2: zero_below does not fit"),
    ("fields:\n  dropout: {range: [0, 0.5], kind: int}", "mine.yaml:2: kind int does not fit; expected float."),
    ("fields:\n  dropout: {range: [0, 0.5], kind: flaot}", "mine.yaml:2: kind cannot be 'flaot'. Did you mean float?"),
    ("fields:\n  epochs: {range: [1, 5]}", "mine.yaml:2: epochs is not searched. Use the parameter epochs."),
    ("fields:\n  dropout: {range: [0, 0.5], when: {optimizer: [sgd]}}", "mine.yaml:2: no field above is called"),
    ("fields:\n  optimizer: {choices: [adam]}\n  dropout: {range: [0, 0.5], when: {optimizer: [sgd]}}",
     "mine.yaml:3: optimizer is never sgd; expected adam."),
    ("fields:\n  dropout: {range: [0.1, 0.5]}", "mine.yaml:2: the baseline's dropout 0.0 is not in the space"),
    ("baseline: {l2: 5.0e-8}\nfields:\n  l2: {range: [1.0e-8, 1.0e-2], log: true, zero_below: 1.0e-7}",
     "mine.yaml:3: the baseline's l2 5e-08 is not in the space, and a search begins with its baseline; expected 1e-07"),
    ("baseline: {dropuot: 1}\nfields:\n  dropout: {range: [0, 0.5]}", "mine.yaml:1: no hyperparameter is called"),
    ("fields: []", "mine.yaml:1: fields cannot be []; expected field: {range: [low, high]}."),
    ("feilds: {}", "mine.yaml:1: no key is called feilds. Did you mean fields?"),
    ("- a", "mine.yaml: not a search space; expected a mapping with baseline, fields."),
    ("fields: {dropout: [", "mine.yaml:1: not YAML"),
])  # fmt: skip
def test_a_file_that_is_no_space_is_refused_by_its_line(text, message):
    with pytest.raises(StudyError, match=re.escape(message)):
        parse_space(text, "mine", "mine.yaml")


def test_a_file_with_a_seed_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("baseline: {seed: 4}\nfields:\n  dropout: {range: [0, 0.5]}")
    with pytest.raises(SpaceError, match=re.escape("mine.yaml: a space has no seed. Use the parameter seed.")):
        load_space(str(path))


def test_a_space_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(SpaceError, match=re.escape("space: no space is called defualt. Did you mean default?")):
        load_space("defualt")
    with pytest.raises(StudyError, match=r"absent.yaml: no such file; looked for /"):
        load_space("absent.yaml")
