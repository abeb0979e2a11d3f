import pytest

from study.base.errors import StudyError, in_one_line, nearest


@pytest.mark.parametrize(
    "parts, text",
    [
        ({}, "it is broken."),
        ({"where": "a.yaml:3"}, "a.yaml:3: it is broken."),
        ({"expected": "1 to 9", "got": 0}, "it is broken; expected 1 to 9, got 0."),
        ({"got": 0}, "it is broken; got 0."),
        ({"hint": "Mend it."}, "it is broken. Mend it."),
        (
            {"where": "a.yaml:3", "expected": "1 to 9", "got": 0, "hint": "Mend it."},
            "a.yaml:3: it is broken; expected 1 to 9, got 0. Mend it.",
        ),
    ],
)
def test_error_leaves_out_what_is_not_known(parts, text):
    assert str(StudyError("it is broken", **parts)) == text


@pytest.mark.parametrize("what", ["Done.", "Really?", "Stop!"])
def test_error_does_not_double_a_closing_mark(what):
    assert str(StudyError(what)) == what


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("dropuot", "Did you mean dropout?"),
        ("batch", "Did you mean batch_size or batch_norm?"),
        ("xyzzy", "There are: dropout, batch_size, batch_norm."),
    ],
)
def test_nearest_names_the_near_ones_or_all(name, sentence):
    assert nearest(name, iter(["dropout", "batch_size", "batch_norm"])) == sentence


@pytest.mark.parametrize("failure", [MemoryError(), RuntimeError("ResourceExhaustedError: OOM when allocating tensor")])
def test_too_little_memory_is_said_in_words(failure):
    assert in_one_line(failure).startswith("not enough memory: a smaller network")


def test_an_unforeseen_error_is_told_by_its_first_cause_unless_that_was_hidden():
    failure = ValueError("outer")
    failure.__context__ = KeyError("inner")
    assert in_one_line(failure) == "KeyError: 'inner'"
    failure.__suppress_context__ = True  # as after `from None`
    assert in_one_line(failure) == "ValueError: outer"
