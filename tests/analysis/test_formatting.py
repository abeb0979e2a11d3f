import pytest

from study.analysis.formatting import count, percent, probability, show, show_p, whole
from study.analysis.statistics import Estimate

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("mean, half_width, text", [
    (97.6183, 0.1134, "97.62 ± 0.11"),
    (98, 2.4841, "98.0 ± 2.5"),
    (97.62, 0.0996, "97.62 ± 0.10"),
    (97.62, 0.996, "97.6 ± 1.0"),
    (97.62, 9.96, "98 ± 10"),
    (12_345, NAN, "12345"),
    (0.08125, 0.00432, "0.0813 ± 0.0043"),
    (97.6183, 12.4, "98 ± 12"),
    (1234.56, 123.4, "1235 ± 123"),
    (0.5, 0.0, "0.5"),
    (97.6183, NAN, "97.6"),
    (97.6183, INF, "97.6"),
    (2.9e35, 1.5e35, "2.9e+35 ± 1.5e+35"),
    (NAN, NAN, "–"),
    (INF, NAN, "inf"),
    (0.000012345, 0.0000021, "0.0000123 ± 0.0000021"),
    (-0.25, 0.11, "−0.25 ± 0.11"),
    (0, 0.0, "0"),
    (999.4, NAN, "999"),
    (999.7, NAN, "1000"),
    (9_999.7, NAN, "10000"),
    (-9_999.7, NAN, "−10000"),
])  # fmt: skip
def test_a_number_has_the_digits_that_its_interval_justifies(mean, half_width, text):
    assert show(Estimate(mean, half_width, 3)) == text


@pytest.mark.parametrize("mean, half_width, text", [
    (0.25, 0.11, "+0.25 ± 0.11"),
    (-0.25, 0.11, "−0.25 ± 0.11"),
    (-12.3, 1.25, "−12.3 ± 1.2"),
    (0.1718, 0.1673, "+0.172 ± 0.167"),  # the interval excludes zero, and is seen to
    (-3.2049, 3.2041, "−3.205 ± 3.204"),
    (0.2, 0.19999, "+0.2000 ± 0.2000"),  # there is an end to it
    (0.1673, 0.1718, "+0.17 ± 0.17"),
    (-1234.56, 123.4, "−1235 ± 123"),
    (0.5, NAN, "+0.5"),
    (-0.5, 0.0, "−0.5"),
    (-0.00001, NAN, "−1e−05"),
    (-12_345, NAN, "−12345"),
])  # fmt: skip
def test_a_difference_has_its_sign(mean, half_width, text):
    assert show(Estimate(mean, half_width, 3), signed=True) == text


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_no_difference_has_no_sign(zero):
    assert show(Estimate(zero, 0.0, 3), signed=True) == "0"


def test_nothing_is_shown_as_a_dash():
    assert show(None) == show(None, signed=True) == show_p(None) == "–"


@pytest.mark.parametrize("p, text", [
    (1, "1.00"),
    (0.5, "0.50"),
    (0.109375, "0.11"),
    (0.1, "0.10"),
    (2 / 64, "0.0312"),
    (2 / 128, "0.0156"),
    (0.0737, "0.0737"),
    (2 / 1024, "0.00195"),
    (2 / 512, "0.00391"),
    (0.001, "0.001"),
    (0.0009999, "< 0.001"),
    (2e-5, "< 0.001"),
    (0.0, "< 0.001"),
])  # fmt: skip
def test_a_p_value_as_people_read_it(p, text):
    assert show_p(p) == text


def test_a_p_above_the_level_is_not_shown_as_the_level():
    # 206 of 4,096 ways: no effect is claimed for it, and a reader has to see why.
    assert float(show_p(206 / 4_096)) > 0.05


def test_counts_and_shares_as_people_read_them():
    assert [whole(number) for number in (1_234, 1_234.6, 0, None, NAN)] == ["1,234", "1,235", "0", "–", "–"]
    assert [percent(0.98349), percent(0.6, 0), percent(NAN)] == ["98.3", "60", "–"]
    assert (count(1, "seed"), count(6, "seed"), count(0, "trial")) == ("1 seed", "6 seeds", "0 trials")


@pytest.mark.parametrize("share, text", [
    (1.0, "100.0 %"),
    (0.9996, "> 99.9 %"),
    (0.9994, "99.9 %"),
    (0.0006, "0.1 %"),
    (0.0004, "< 0.1 %"),
    (0.0, "0.0 %"),
])  # fmt: skip
def test_a_probability_is_never_1_or_0_where_it_only_comes_near(share, text):
    assert probability(share) == text


def test_what_is_no_number_is_a_dash():
    texts = [show(Estimate(NAN, 0.1, 3)), show(Estimate(NAN, NAN, 1)), show_p(NAN), probability(NAN), percent(NAN)]
    assert {*texts, whole(NAN)} == {"–"}
