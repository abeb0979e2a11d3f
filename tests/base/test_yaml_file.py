import pytest

from study.base import yaml_file
from study.base.yaml_file import MOST_BYTES, MOST_DEPTH, YamlError


@pytest.mark.parametrize("text, value", [
    ("010", 10), ("08", 8), ("-3", -3), ("1:30", "1:30"), ("190:20:30.15", "190:20:30.15"), ("0x1F", "0x1F"),
    ("0o17", "0o17"), ("0b11", "0b11"), ("1_000", "1_000"), ("1.5e+3", 1500.0), (".5", 0.5),
    ("5.", 5.0), ("1e-3", "1e-3"),
    ("~", None), ("", None), ("null", None), ("none", "none"), ("yes", "yes"),
    ("2024-01-02", "2024-01-02"), ("9" * 5_000, "9" * 5_000),
])  # fmt: skip
def test_only_what_looks_like_a_decimal_number_is_one(text, value):
    content, _ = yaml_file.parse(f"a: {text}", "mine.yaml")
    assert content == {"a": value} and type(content["a"]) is type(value)


@pytest.mark.parametrize("text, message", [
    ("a: 1\nb: &x [1]\n", "mine.yaml:2: aliases and anchors, * and &, are not read here."),
    ("a: *x\n", "mine.yaml:1: aliases and anchors, * and &, are not read here."),
    ("a: !!python/object/apply:os.system [ls]\n", "mine.yaml:1: tags, such as !!int, are not read here."),
    ("[" * 100_000, f"mine.yaml:1: more than {MOST_DEPTH} levels."),
    ("- " * 50 + "x", f"mine.yaml:1: more than {MOST_DEPTH} levels."),
    ("a: 1\n---\nb: 1\n", "mine.yaml:2: not YAML (but found another document)."),
])  # fmt: skip
def test_what_these_files_never_need_is_refused_by_its_line(text, message):
    with pytest.raises(YamlError) as error:
        yaml_file.parse(text, "mine.yaml")
    assert str(error.value) == message


def test_a_file_is_read_up_to_a_limit(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("#" * MOST_BYTES)
    assert len(yaml_file.read(path)) == MOST_BYTES
    path.write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(YamlError, match=r"mine.yaml: the file is too large; expected at most 200 kB\.$"):
        yaml_file.read(path)


@pytest.mark.parametrize("text", ["08", "+09", "1.e5", ".5e5", "010", "1:30", "null", "1e5", "true", "no"])
def test_a_text_that_looks_like_a_number_is_written_in_quotes(text):
    assert yaml_file.parse(yaml_file.write({"name": text}), "x")[0] == {"name": text}


def test_what_is_written_reads_back_the_same_and_has_no_alias():
    values = ["010", "1e-3", "1:30", "0o17", "1_000", "yes", "~", "", 10, 1e-05, None, "# x", "- a", "9" * 500]
    text = yaml_file.write({"a": values, "b": values})
    assert "&" not in text and yaml_file.parse(text, "x")[0] == {"a": values, "b": values}
