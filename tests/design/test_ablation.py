from dataclasses import replace

import pytest

from study.base.errors import AblationError, ConfigError, StudyError, nearest
from study.design.ablation import BECAUSE, MOST_TRIALS, Ablation, Arm, catalogue, load_ablation, parse_ablation
from study.training.config import FIELDS, TrialConfig

TWO_ARMS = "arms:\n  grid:\n    batch_size: [8, 32]\n"


@pytest.fixture
def write(tmp_path):
    """Write an ablation's text into a file; return the file's path."""

    def to_file(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return to_file


def arms(study: Ablation) -> dict:
    return {arm.name: arm.settings for arm in study.arms}


# --- the catalogue ----------------------------------------------------------------------------------


def test_the_catalogue_has_these_tasks():
    assert catalogue() == [
        "activation", "architecture", "batch_epochs_l2", "batch_size", "batchnorm_l2", "capacity", "dropout",
        "early_stopping", "epochs", "filters", "initialization", "l2", "learning_rate", "lr_dropout", "noisy_batches",
        "normalization_dropout", "optimizer", "weights",
    ]  # fmt: skip


SCRATCH = {"hidden": "20-7-5", "initializer": "he_fan_out", "optimizer": "sgd", "learning_rate": 0.009, "l2_on": "all",
           "validate_every": 100, "patience_steps": 10_000, "min_delta": 1e-5, "validation": 0.36}  # fmt: skip


@pytest.mark.parametrize("task", catalogue())
def test_every_task_of_the_catalogue_says_what_it_asks_and_what_is_known(task):
    study = load_ablation(task)
    assert study.task == task
    assert study.question.endswith("?") and study.known.endswith(".")
    assert study.reference.name in arms(study)
    assert study.margin > 0 and study.seeds is None and study.because.endswith(".")
    assert study.origin.source and parse_ablation(study.as_yaml(), task, "again") == study


@pytest.mark.parametrize("task, baseline, reference", [
    ("epochs", {}, "epochs=5"),
    ("early_stopping", {"epochs": 20}, "no stopping"),
    ("dropout", {"patience": 3}, "dropout=0.0"),
    ("l2", {"dropout": 0.1, "patience": 3}, "l2=0.0"),
    ("optimizer", {"dropout": 0.1, "patience": 3}, "adam 1e-3"),
    ("batch_size", {"dropout": 0.1, "patience": 3}, "batch_size=32"),
    ("activation", {"dropout": 0.1, "patience": 3}, "activation=relu"),
    ("weights", {}, "plain"),
    ("capacity", {}, "hidden=128"),
    ("learning_rate", {"hidden": "300", "activation": "sigmoid", "optimizer": "sgd", "learning_rate": 0.01,
                       "batch_size": 16}, "learning_rate=0.01"),
    ("initialization", {}, "initializer=glorot_uniform"),
    ("batchnorm_l2", {**SCRATCH, "epochs": 100}, "batch_norm=none l2=0.0"),
    ("batch_epochs_l2", {**SCRATCH, "epochs": 50, "l2": 0.01 / 64}, "batch 32, 50 epochs, λ 0.01"),
    ("lr_dropout", {"hidden": "128-64", "batch_norm": "after", "learning_rate": 0.01, "epochs": 10,
                    "validation": 0.2}, "1e-2, no dropout"),
    ("normalization_dropout", {"hidden": "128-64", "learning_rate": 0.01, "epochs": 10, "validation": 0.2},
     "pixels=scaled batch_norm=none dropout=0.0"),
    ("noisy_batches", {"data": "synthetic", "hidden": "8", "activation": "sigmoid", "optimizer": "sgd",
                       "learning_rate": 0.5, "batch_size": 1, "epochs": 200, "validate_every": 50}, "batch_size=1"),
])  # fmt: skip
def test_the_baselines_of_the_catalogue(task, baseline, reference):
    study = load_ablation(task)
    assert study.baseline == TrialConfig.parse(baseline)
    assert study.reference.name == reference


@pytest.mark.parametrize("task, expected", [
    ("epochs", {f"epochs={number}": {"epochs": number} for number in (5, 10, 20)}),
    ("early_stopping", {"no stopping": {}, "patience 3": {"patience": 3}, "patience 5": {"patience": 5}}),
    ("l2", {f"l2={strength}": {"l2": strength} for strength in (0.0, 1e-4, 1e-3, 1e-2)}
           | {"l2=0.01 l2_on=all": {"l2": 0.01, "l2_on": "all"}}),
    ("activation", {f"activation={name}": {"activation": name} for name in ("relu", "tanh", "softsign", "gelu")}),
    ("weights", {"plain": {}, "dropout 0.3": {"dropout": 0.3}, "l2 0.01": {"l2": 0.01}}),
    ("capacity", {f"hidden={widths}": {"hidden": widths} for widths in ("16", "32", "128", "512", "512-512")}),
    ("learning_rate", {f"learning_rate={rate}": {"learning_rate": rate}
                       for rate in (0.001, 0.003, 0.01, 0.03, 0.048, 0.16, 0.5)}),
    ("initialization", {f"initializer={name}": {"initializer": name}
                        for name in ("glorot_uniform", "he_normal", "small_normal", "zeros")}),
    ("batchnorm_l2", {f"batch_norm={norm} l2={strength}": {"batch_norm": norm, "l2": strength}
                      for norm in ("none", "after") for strength in (0.0, 0.01 / 64, 0.01)}),
    # The source adds λ/(2m) Σ w² to the cost of a mini-batch of m rows, Keras λ Σ w².
    ("batch_epochs_l2", {f"batch {size}, {epochs} epochs, λ {strength}":
                         {"batch_size": size, "epochs": epochs, "l2": strength / (2 * size)}
                         for size in (32, 64, 128) for epochs in (50, 100) for strength in (0.01, 0.04)}
                        | {"batch 32, 50 epochs, Keras λ 0.01": {"l2": 0.01}}),
    ("lr_dropout", {
        "1e-2, no dropout": {},
        "1e-3, dropout 0.2": {"learning_rate": 0.001, "dropout": 0.2},
        "5e-4, dropout 0.4": {"learning_rate": 0.0005, "dropout": 0.4},
        "1e-4, dropout 0.6": {"learning_rate": 0.0001, "dropout": 0.6},
        "1e-3, no dropout": {"learning_rate": 0.001},
        "1e-2, dropout 0.2": {"dropout": 0.2},
        "1e-2, raw pixels, plain": {"pixels": "raw", "batch_norm": "none"},
        "1e-3, dropout 0.2, raw pixels": {"learning_rate": 0.001, "dropout": 0.2, "pixels": "raw"},
    }),
    ("normalization_dropout", {f"pixels={pixels} batch_norm={norm} dropout={share}":
                               {"pixels": pixels, "batch_norm": norm, "dropout": share}
                               for pixels in ("scaled", "raw") for norm in ("none", "after") for share in (0.0, 0.2)}),
    ("noisy_batches", {f"batch_size={size}": {"batch_size": size} for size in (1, 16, 128)}),
    ("batch_size", {f"batch_size={size}": {"batch_size": size} for size in (8, 32, 128)}),
    ("dropout", {f"dropout={share}": {"dropout": share} for share in (0.0, 0.1, 0.3)}),
    ("optimizer", {
        "sgd 0.01": {"optimizer": "sgd", "learning_rate": 0.01},
        "momentum 0.01/0.9": {"optimizer": "momentum", "learning_rate": 0.01, "momentum": 0.9},
        "adam 1e-3": {"optimizer": "adam", "learning_rate": 0.001},
        "adamw 1e-3 decay 0.01": {"optimizer": "adamw", "learning_rate": 0.001, "weight_decay": 0.01},
    }),
])  # fmt: skip
def test_the_arms_of_the_catalogue(task, expected):
    assert arms(load_ablation(task)) == expected


@pytest.mark.parametrize("task, hint", [
    ("droput", "Did you mean dropout or lr_dropout?"),
    ("batchsize", "Did you mean batch_size?"),
    ("xyzzy", f"There are: {', '.join(catalogue())}."),
])  # fmt: skip
def test_an_unknown_task_is_refused_with_the_nearest(task, hint):
    with pytest.raises(StudyError) as error:
        load_ablation(task)
    assert str(error.value) == f"task: no task is called {task}. {hint} The path of a YAML file works too."


# --- a file of one's own ----------------------------------------------------------------------------


def test_a_file_is_read_whole(write):
    study = load_ablation(write(
        "question: Does width – or depth – help?\n"
        "known: Wider fits further.\n"
        "baseline: {dropout: 0.1, learning_rate: 1e-2}\n"
        "arms:\n  grid: {hidden: [none, 20-7], l2: [0, 1.0e-4]}\n"
        "seeds: 2\n"
    ))  # fmt: skip
    assert (study.task, study.seeds) == ("mine", 2)
    assert (study.question, study.known) == ("Does width – or depth – help?", "Wider fits further.")
    assert study.baseline == TrialConfig.parse({"dropout": 0.1, "learning_rate": 0.01})
    assert arms(study) == {
        "hidden=none l2=0": {"hidden": "none", "l2": 0},
        "hidden=none l2=0.0001": {"hidden": "none", "l2": 1e-4},
        "hidden=20-7 l2=0": {"hidden": "20-7", "l2": 0},
        "hidden=20-7 l2=0.0001": {"hidden": "20-7", "l2": 1e-4},
    }


def test_what_a_file_leaves_out_has_defaults(write):
    study = load_ablation(write(f"question: Why?\n{TWO_ARMS}"))
    assert (study.known, study.baseline, study.seeds, study.figures) == ("", TrialConfig(), None, ())
    assert (study.margin, study.because, study.against) == (0.2, BECAUSE, None)


def test_a_file_may_name_the_arm_that_the_others_are_compared_with_and_its_margin(write):
    text = f"question: Why?\n{TWO_ARMS}seeds: auto\nmargin: 0.5\nbecause: It is so.\n"
    study = load_ablation(write(text + "against: batch_size=8\n"))
    assert (study.reference.name, study.seeds, study.margin, study.because) == ("batch_size=8", None, 0.5, "It is so.")
    assert parse_ablation(study.as_yaml(), "mine", "mine.yaml") == study
    unexplained = load_ablation(write(text.replace("because: It is so.\n", "")))
    assert unexplained.because == "The task's file says so."  # not the reason for another margin
    with pytest.raises(AblationError, match=r":8: no arm is called 'batch_size=9'\. Did you mean batch_size=8 or"):
        load_ablation(write(text + "against: batch_size=9\n"))


def test_a_listed_arm_is_named_by_its_settings_unless_it_has_a_name(write):
    study = load_ablation(write("question: Why?\narms:\n  list:\n    - {}\n    - {l2: 0.1}\n    - {name: x, l2: 1}\n"))
    assert study.arms == (Arm("baseline", {}), Arm("l2=0.1", {"l2": 0.1}), Arm("x", {"l2": 1}))


NO_MAPPING = (
    ": not an ablation; expected a mapping with question, known, source, claims, reported, departs, baseline, arms, "
    "seeds, margin, because, figures, against, vary."
)
NO_ARMS = "the arms are neither a grid nor a list; expected grid: {field: [value, value]} or list: [{field: value}]."


@pytest.mark.parametrize("text, message", [
    ("", NO_MAPPING),
    ("- question\n", NO_MAPPING),
    ("question: Why?\narms: [1\n", ":3: not YAML (expected ',' or ']', but got '<stream end>')."),
    ("question: Why?\n\tarms: 1\n", ":2: not YAML (found character '\\t' that cannot start any token)."),
    (TWO_ARMS, ": question is missing."),
    ("question:\n" + TWO_ARMS, ": question is missing."),
    ("question: Why?\n", ": arms is missing."),
    (f"question: Why?\n{TWO_ARMS}knwon: so\n", ":5: no key is called knwon. Did you mean known?"),
    (f"question: Why?\n{TWO_ARMS}baseline: [1]\n", ":5: baseline cannot be [1]; expected field: value."),
    *(
        (f"question: Why?\n{TWO_ARMS}seeds: {seeds}\n",
         f":5: seeds cannot be {shown}; expected auto, or a whole number from 1 to 1000.")
        for seeds, shown in (("0", "0"), ("1001", "1001"), ("1.5", "1.5"), ("many", "'many'"), ("yes", "'yes'"))
    ),
    (f"question: Why?\n{TWO_ARMS}figures: gap\n", ":5: figures cannot be 'gap'; expected [name, name]."),
    (f"question: Why?\n{TWO_ARMS}figures:\n  - gap\n  - gaps\n",
     ":7: figures cannot be 'gaps'. Did you mean gap?"),
    ("question: Why?\n\narms: 3\n", f":3: {NO_ARMS}"),
    *(
        (f"question: Why?\narms:\n  {arms}\n", f":2: {NO_ARMS}")
        for arms in ("grid: {l2: [0]}\n  list: [{l2: 0}]", "grid: {l2: 0}", "grid: {}", "list: {l2: 0}", "list: [l2]")
    ),
    ("question: Why?\narms: {list: []}\n", ":2: an ablation needs two or more different arms; got none."),
    ("question: Why?\narms:\n  list:\n  - {name: a, l2: 1}\n  - {name: b, l2: 1.0}\n",
     ":2: an ablation needs two or more different arms; got a, b."),
    ("question: {{x}}\n", ":1: a key is not a word."),
    ("question: Why?\nbaseline: {1: 2}\n" + TWO_ARMS, ":2: a key is not a word."),
    ("question: &a [*a]\n", ":1: aliases and anchors, * and &, are not read here."),
    ("question: Why?\nseeds: 2\nseeds: 3\n" + TWO_ARMS, ":3: seeds appears twice. Keep one of them."),
    ("question: Why?\nbaseline:\n  seed: 7\n" + TWO_ARMS, ":3: seed is not set here. Use the parameter seeds."),
    ("question: \a\n", ": not YAML (unacceptable character #x0007: special characters are not allowed)."),
    ("question: Why?\narms:\n  grid: {l2: [0.1]}\n", ":2: an ablation needs two or more different arms; got l2=0.1."),
    ("question: Why?\narms:\n  list:\n  - {name: a, l2: 0}\n  - {name: a, l2: 1}\n",
     ":2: an ablation needs two or more different arms; got a, a."),
])  # fmt: skip
def test_a_file_that_is_no_ablation_is_refused_by_its_line(write, text, message):
    path = write(text)
    with pytest.raises(StudyError) as error:
        load_ablation(path)
    assert str(error.value) == path + message


@pytest.mark.parametrize("text, message", [
    ("question: Why?\nbaseline:\n  l2: 0\n  dropuot: 0.1\n" + TWO_ARMS,
     ":4: no hyperparameter is called dropuot. Did you mean dropout?"),
    ("question: Why?\nbaseline:\n  l2: 0\n  dropout: 1.5\n" + TWO_ARMS,
     ":4: dropout cannot be 1.5; expected less than or equal to 0.999."),
    ("question: Why?\narms:\n  grid:\n    learning_rat: [0.1, 0.2]\n",
     ":4: no hyperparameter is called learning_rat. Did you mean learning_rate?"),
    ("question: Why?\narms:\n  grid:\n    l2: [0, -1]\n",
     ":4: l2 cannot be -1; expected greater than or equal to 0."),
    ("question: Why?\narms:\n  grid:\n    l2: [0, 1]\n    dropout: [0.1, 7]\n",
     ":5: dropout cannot be 7; expected less than or equal to 0.999."),
    ("question: Why?\narms:\n  grid: {on: [1, 2]}\n",
     ":3: no hyperparameter is called on. " + nearest("on", FIELDS)),
    ("question: Why?\narms:\n  list:\n    - {l2: 0}\n    - {optimizer: adam}\n    - {optimizer: Adam}\n",
     ":6: optimizer cannot be 'Adam'; expected 'sgd', 'momentum', 'nesterov', 'rmsprop', 'adam' or 'adamw'."),
])  # fmt: skip
def test_a_wrong_hyperparameter_is_refused_by_its_line(write, text, message):
    path = write(text)
    with pytest.raises(ConfigError) as error:
        load_ablation(path)
    assert str(error.value) == path + message


@pytest.mark.parametrize("name, parameter", [("data", "data"), ("validation", "validation"), ("seed", "seeds")])
@pytest.mark.parametrize("form", ["grid: {{l2: [0],\n    {}: [1, 2]}}", "list:\n    - {{{}: 1}}\n    - {{}}"])
def test_arms_cannot_differ_in_what_has_a_parameter_of_its_own(write, form, name, parameter):
    path = write(f"question: Why?\narms:\n  {form.format(name)}\n")
    with pytest.raises(StudyError) as error:
        load_ablation(path)
    assert str(error.value) == f"{path}:4: {name} is not set here. Use the parameter {parameter}."


@pytest.mark.parametrize("kind, reason", [
    ("absent", "no such file."), ("folder", "cannot be read (Is a directory)"),
    ("latin-1", "cannot be read ('utf-8' codec can't decode"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(tmp_path, kind, reason):
    path = tmp_path / "mine.yml"
    if kind == "folder":
        path.mkdir()
    elif kind == "latin-1":
        path.write_bytes("question: Où?\n".encode("latin-1"))
    with pytest.raises(StudyError) as error:
        load_ablation(str(path))
    assert str(error.value).startswith(f"{path}: {reason}")


def test_widths_that_look_like_a_date_and_words_that_look_like_a_truth_are_words(write):
    study = load_ablation(write("question: Why?\nbaseline: {hidden: 1024-10-10}\nknown: off\n" + TWO_ARMS))
    assert (study.baseline.get("hidden"), study.known) == ("1024-10-10", "off")


# --- trials -----------------------------------------------------------------------------------------


def test_trials_go_seed_by_seed_through_all_arms(digits):
    specs = load_ablation("dropout").trial_specs(2, digits)
    assert [spec.name for spec in specs] == [
        f"dropout={share} · seed {seed}" for seed in (1, 2) for share in (0.0, 0.1, 0.3)
    ]
    assert specs[4].config == TrialConfig.parse(
        {"data": "digits", "validation": "216", "patience": 3, "dropout": 0.1, "seed": 2}
    )


def test_trials_differ_only_in_arm_and_seed(digits):
    specs = load_ablation("optimizer").trial_specs(3, digits)
    assert len({spec.name for spec in specs}) == len({spec.config for spec in specs}) == 12
    varied = {name: FIELDS[name].default for name in ("optimizer", "learning_rate", "momentum", "weight_decay", "seed")}
    assert len({spec.config.replace(varied) for spec in specs}) == 1


def test_a_split_that_varies_is_the_same_in_every_arm(digits):
    study = replace(load_ablation("optimizer"), vary="split")
    assert parse_ablation(study.as_yaml(), "optimizer", "ablation.yaml") == study
    specs = study.trial_specs(4, digits.in_folds(), first_seed=11)
    data = {(spec.config.seed, spec.config.data.fold, spec.config.data.validation) for spec in specs}
    assert data == {(11, 10, "119"), (12, 11, "119"), (13, 12, "120"), (14, 13, "120")}
    assert [spec.config.seed for spec in specs] == [seed for seed in range(11, 15) for _ in range(4)]
    shared = {arm: [spec.shared for spec in specs if spec.arm == arm] for arm in (spec.arm for spec in specs)}
    assert all(each == own[0] and not {"seed", "fold"} & each.keys() for own in shared.values() for each in own)
    fixed = load_ablation("optimizer").trial_specs(4, digits, first_seed=11)
    assert {spec.config.data.fold for spec in fixed} == {None} and fixed[0].shared["validation"] == "216"


def test_another_baseline_changes_every_arm_and_not_the_original(digits):
    study = load_ablation("dropout")
    changed = study.with_baseline({"hidden": "20-7", "epochs": "2"}, where="set")
    configs = [spec.config for spec in changed.trial_specs(1, digits)]
    assert {(config.get("hidden"), config.training.epochs) for config in configs} == {("20-7", 2)}
    assert changed.arms == study.arms
    assert study.baseline.get("hidden") == "128"


@pytest.mark.parametrize("settings, message", [
    ({"dropout": "0.5"}, "set: dropout is varied by the arms of dropout. "
                         "Copy the task's YAML file, change its arms, and pass its path as the task."),
    ({"seed": "3"}, "set: seed is not changed here. Use the parameter seeds."),
    ({"fold": "3"}, "set: fold is not changed here. Use the parameter vary."),
    ({"data": "digits"}, "set: data is not changed here. Use the parameter data."),
    ({"validation": "0.2"}, "set: validation is not changed here. Use the parameter validation."),
    ({"hidden": "wide"}, "set: hidden cannot be 'wide'; "
                         "expected widths between 1 and 65536 such as 128 or 20-7-5, or none."),
])  # fmt: skip
def test_a_baseline_that_is_not_to_be_changed(settings, message):
    with pytest.raises(ConfigError) as error:
        load_ablation("dropout").with_baseline(settings, where="set")
    assert str(error.value) == message


def test_the_parameters_of_their_own_may_change_the_baseline():
    changed = load_ablation("dropout").with_baseline({"validation": "0.2", "epochs": 1})
    assert (changed.baseline.data.validation, changed.baseline.training.epochs) == ("0.2", 1)


# --- what is compared with what ---------------------------------------------------------------------


def test_each_arm_is_compared_with_the_one_that_is_the_baseline_or_each_with_each():
    study = load_ablation("batch_size")
    eight, many = "batch_size=8", "batch_size=128"
    assert study.comparisons() == [(eight, "batch_size=32"), (many, "batch_size=32")]
    assert study.comparisons(pairs=True) == [("batch_size=32", eight), (many, eight), (many, "batch_size=32")]


def test_where_no_arm_is_the_baseline_the_first_stands_for_it(write):
    study = load_ablation(write(f"question: Why?\nbaseline: {{batch_size: 64}}\n{TWO_ARMS}"))
    assert study.reference.name == "batch_size=8"


@pytest.mark.parametrize("task", catalogue())
def test_an_ablation_written_as_yaml_is_read_back_equal(task):
    study = load_ablation(task).with_baseline({"min_delta": 1e-6})
    assert parse_ablation(study.as_yaml(), task, "ablation.yaml") == study


def test_trials_beyond_number_are_refused_before_they_are_made(digits):
    study = load_ablation("optimizer")
    seeds = MOST_TRIALS // len(study.arms) + 1
    with pytest.raises(
        ConfigError, match=r"^seeds: too many trials; expected at most 100,000, got 4 arms × 25,001 seeds"
    ):
        study.trial_specs(seeds, digits)


def test_a_task_of_another_network_leaves_out_what_only_its_own_has(tmp_path):
    study = load_ablation("l2", "cnn")
    assert {study.baseline.replace(arm.settings).network.name for arm in study.arms} == {"cnn"}
    assert [arm.settings["l2"] for arm in study.arms] == [0.0, 1e-4, 1e-3, 1e-2]
    assert study.left_out == ("l2=0.01 l2_on=all",) and not study.origin.reported
    assert study.baseline.get("dropout") == 0.1 and study.networks == ["cnn"]
    with pytest.raises(ConfigError, match="no hyperparameter is called hidden"):
        load_ablation("capacity", "cnn")
    with pytest.raises(AblationError, match="the file names its network"):
        load_ablation("filters", "mlp")
    assert load_ablation("architecture").networks == ["mlp", "cnn"]
