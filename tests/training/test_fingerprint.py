import ast
import importlib

import pytest
from factories.configs import OTHER

from study.training.config import TrialConfig
from study.training.fingerprint import (
    COMPILER_FLAGS,
    HERE,
    TRAINING_CODE,
    code_hash,
    fingerprint,
    training_code_version,
)

NOT_DECISIVE = {"data", "target", "size", "validation"}


def test_equal_trials_have_equal_fingerprints():
    first, second = (fingerprint(TrialConfig.parse(values), "abc", 5_000) for values in (OTHER, dict(OTHER)))
    assert first == second
    assert len(first) == 64 and int(first, 16)


@pytest.mark.parametrize("name", sorted(set(OTHER) - NOT_DECISIVE))
def test_every_decisive_field_changes_the_fingerprint(name):
    # Beside these every field has an effect.
    config = TrialConfig.parse({"optimizer": "momentum", "patience": 5, "l2": 0.1})
    assert fingerprint(config.replace({name: OTHER[name]}), "abc", 5_000) != fingerprint(config, "abc", 5_000)


@pytest.mark.parametrize("one, other", [
    ({"momentum": 0.5}, {}), ({"optimizer": "sgd", "momentum": 0.5}, {"optimizer": "sgd"}), ({"min_delta": 0.1}, {}),
    ({"hidden": "none", "dropout": 0.5, "activation": "tanh", "batch_norm": "after"}, {"hidden": "none"}),
    ({"l2_on": "all"}, {}), ({"hidden": "none", "l2": 0.1}, {"hidden": "none"}),
    ({"weight_decay": 0}, {}), ({"optimizer": "adamw", "weight_decay": 0.004}, {"optimizer": "adamw"}),
])  # fmt: skip
def test_a_field_without_effect_is_no_part_of_the_fingerprint(one, other):
    first, second = TrialConfig.parse(one), TrialConfig.parse(other)
    assert first != second and first.canonical() == second.canonical()
    assert fingerprint(first, "abc", 5_000) == fingerprint(second, "abc", 5_000)


@pytest.mark.parametrize("name", sorted(NOT_DECISIVE))
def test_the_words_that_name_the_data_do_not_change_the_fingerprint(name):
    config = TrialConfig()
    assert fingerprint(config.replace({name: OTHER[name]}), "abc", 5_000) == fingerprint(config, "abc", 5_000)


@pytest.mark.parametrize("sha256, rows", [("abd", 5_000), ("abc", 4_999)])
def test_the_data_and_the_split_change_the_fingerprint(sha256, rows):
    assert fingerprint(TrialConfig(), sha256, rows) != fingerprint(TrialConfig(), "abc", 5_000)


def test_a_fold_decides_the_split_by_itself():
    folded = TrialConfig.parse({"fold": "3", "validation": "0.2"})
    assert fingerprint(folded, "abc", 119) == fingerprint(TrialConfig.parse({"fold": "3"}), "abc", 120)
    assert fingerprint(folded.replace({"fold": 15}), "abc", 120) != fingerprint(folded, "abc", 120)
    assert fingerprint(folded, "abd", 120) != fingerprint(folded, "abc", 120)


# --- the code ---------------------------------------------------------------------------------------

CODE = ["""
import numpy as np

RATE = 0.5

def half(value: float) -> float:
    return RATE * value
""", "def twice(value):\n    return 2 * value\n"]  # fmt: skip


@pytest.mark.parametrize("find, put", [
    ("import numpy as np", "from study.elsewhere import numpy as np"),
    ("RATE = 0.5", "RATE = 0.5  # of what there is"),
    ("    return RATE", '    """Return half of a value."""\n\n    return RATE'),
    ("    return RATE", "    from study import moved\n    return RATE"),
    ("RATE * value", "(RATE  *\n        value)"),
])  # fmt: skip
def test_what_code_does_not_do_leaves_its_hash_alone(find, put):
    assert find in CODE[0]
    assert code_hash([CODE[0].replace(find, put), CODE[1]]) == code_hash(CODE)


def test_moving_code_to_a_file_of_another_name_leaves_its_hash_alone():
    assert code_hash(reversed(CODE)) == code_hash(CODE)


def test_the_help_text_of_a_field_leaves_the_hash_alone():
    field = 'rate: float = Field(0.5, ge=0, description="{}")'
    assert code_hash([field.format("a rate")]) == code_hash([field.format("the step size")])
    assert code_hash([field.replace("ge", "gt")]) != code_hash([field])


@pytest.mark.parametrize("find, put", [("0.5", "0.25"), ("RATE * value", "value * RATE"), ("half", "part")])
def test_other_code_has_another_hash(find, put):
    assert code_hash([CODE[0].replace(find, put), CODE[1]]) != code_hash(CODE)


@pytest.mark.parametrize("path", TRAINING_CODE, ids=lambda path: path.stem)
def test_every_module_that_determines_a_result_counts(path):
    before = code_hash(each.read_text() for each in TRAINING_CODE)
    assert code_hash(each.read_text() + "\nMORE = 1\n" * (each == path) for each in TRAINING_CODE) != before


def test_all_that_training_and_its_data_import_is_hashed():
    root = HERE.parent.parent
    hashed = {str(path.relative_to(root)) for path in TRAINING_CODE}
    assert {"study/data/dataset.py", "study/training/metrics.py", "study/training/diagnostics.py"} < hashed
    imported = {
        f"{node.module.replace('.', '/')}{f'/{name.name}' if name.name.islower() else ''}.py"
        for path in TRAINING_CODE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("study")
        for name in node.names
    }
    modules = {name for name in imported if (root / name).exists()} | {
        f"{name.rpartition('/')[0]}.py" for name in imported if (root / f"{name.rpartition('/')[0]}.py").exists()
    }
    # Of the base only the backend decides what is computed; the rest finds files and words errors.
    assert {name for name in modules if not name.startswith("study/base/")} <= hashed
    assert "study/base/backend.py" in modules & hashed


@pytest.mark.parametrize("name", COMPILER_FLAGS)
def test_the_compilers_flags_change_the_fingerprint_and_the_version(name, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    before = fingerprint(TrialConfig(), "abc", 5_000), training_code_version()
    monkeypatch.setenv(name, "--xla_cpu_enable_fast_math=true")
    assert fingerprint(TrialConfig(), "abc", 5_000) != before[0]
    assert training_code_version() != before[1]


def test_the_precision_is_not_that_of_the_persons_keras_json():
    from study.base import backend

    backend.keras.config.set_floatx("float64")
    backend.keras.config.set_epsilon(1e-3)
    importlib.reload(backend)
    assert (backend.keras.config.floatx(), backend.keras.config.epsilon()) == ("float32", 1e-7)
