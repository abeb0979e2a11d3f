import pytest

from study.base.errors import StudyError
from study.design.ablation import load_ablation, parse_ablation
from study.design.origin import Reported

FILE = """question: Why?
source: A paper
reported:
  - {arm: l2=0, test_accuracy: 97, kernel_sds: [0.3, 0.25]}
  - {arm: l2=1, seconds: 263577, train_cost: -0.5}
departs: In all else.
arms:
  grid: {l2: [0, 1]}
"""


def test_what_a_report_gives_is_read_written_and_read_again():
    study = parse_ablation(FILE, "mine", "mine.yaml")
    first, second = study.origin.reported
    assert first == Reported("l2=0", {"test_accuracy": 97, "kernel_sds": (0.3, 0.25)})
    assert first.words == "test accuracy 97 %, sd of each kernel 0.3; 0.25"
    assert second.words == "training cost -0.5, time 263577 s"
    assert study.origin.lines == ["Source: A paper", "Departs: In all else."]
    assert parse_ablation(study.as_yaml(), "mine", "again") == study


def test_a_file_of_ones_own_needs_no_source():
    study = parse_ablation("question: Why?\narms:\n  grid: {l2: [0, 1]}\n", "mine", "mine.yaml")
    assert study.origin.lines == [] and not study.origin.reported and "source" not in study.as_yaml()


@pytest.mark.parametrize("find, put, message", [
    ("{arm: l2=1, ", "{arm: l2=2, ", "mine.yaml:5: no arm is called l2=2. Did you mean l2="),
    ("test_accuracy: 97", "test_acuracy: 97", "mine.yaml:4: no key is called test_acuracy. Did you mean test_acc"),
    ("97", "9700", "mine.yaml:4: test_accuracy cannot be 9700; expected per cent, from 0 to 100."),
    ("263577", "long", "mine.yaml:5: seconds cannot be 'long'; expected a number."),
    ("[0.3, 0.25]", "[]", "mine.yaml:4: kernel_sds cannot be []; expected [a number for each kernel]."),
    (", seconds: 263577, train_cost: -0.5", "", "mine.yaml:5: no figure of l2=1; expected one of train_accuracy, "),
    ("{arm: l2=1, seconds: 263577, train_cost: -0.5}", "l2=1", "mine.yaml:5: not a reported figure; expected a"),
    ("In all else.", "", None),
])  # fmt: skip
def test_a_figure_that_cannot_be_is_refused_by_its_line(find, put, message):
    assert find in FILE
    text = FILE.replace(find, put)
    if message is None:
        assert parse_ablation(text, "mine", "mine.yaml").origin.departs == ""
        return
    with pytest.raises(StudyError) as error:
        parse_ablation(text, "mine", "mine.yaml")
    assert str(error.value).startswith(message)


def test_the_reports_lambda_is_kerass_in_the_arms_that_follow_it():
    """S2's cost has λ/(2m) Σ w²: 89.96 % is that of λ 0.01 at batch 32, Keras's 0.01 / 64."""
    study = load_ablation("batch_epochs_l2")
    [first, *_] = study.origin.reported
    [arm] = [arm for arm in study.arms if arm.name == first.arm]
    assert study.baseline.replace(arm.settings).get("l2") == 0.01 / 64 and first.figures == {"test_accuracy": 89.96}
