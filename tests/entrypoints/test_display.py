import io
import shlex

import pandas as pd
import pytest
from rich.console import Console

from entrypoints import display
from study.data.dataset import SPLITS, load_dataset
from study.execution.queue import Progress
from study.execution.time_estimate import Total
from study.reports.table import Table


def printed(width: int, show) -> str:
    text = io.StringIO()
    show(Console(file=text, width=width))
    return text.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 1_000])
def test_no_number_of_a_table_is_cut_and_words_fold(width):
    columns = ("arm", "trials", "val accuracy (%)", "verdict")
    rows = [
        ("lin | ear [red]x[/red] and more", "6", "97.62 ± 0.11", "hurts by 0.23 ± 0.10 points"),
        ("boom", "0 (2 failed)", "–", "not tested"),
    ]
    table = Table(columns, rows, words=("verdict",))
    text = printed(width, lambda console: display.print_table(console, table))
    assert all(number in text for number in ("97.62 ± 0.11", "0 (2 failed)"))
    assert "…" not in text
    assert "[red]x[/red]" in text or width < 100


def test_every_trial_has_one_line_when_it_ends():
    class OneEach:
        def after(self, elapsed, trials):
            return 0.0

        def total(self, trials):
            return Total(len(trials), len(trials))

    def trial(seed, state, reason=None):
        return Progress(seed, f"a=[b] · seed {seed}", state, 3, 5, 0.25, reason)

    def show(console):
        with display.Display(console, OneEach()) as observe:
            observe([trial(1, "RUNNING"), trial(2, "WAITING")])
            observe([trial(1, "COMPLETE"), trial(2, "RUNNING")])
            observe([trial(1, "COMPLETE"), trial(2, "FAIL", "the loss was not finite")])

    first, second = printed(1_000, show).splitlines()
    assert first.startswith("1/2") and first.endswith("a=[b] · seed 1  done    epoch 3  val_loss 0.2500")
    assert second.endswith("a=[b] · seed 2  failed  epoch 3  val_loss 0.2500  (the loss was not finite)")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (200, "3:20"), (3_723, "1:02:03")]
)
def test_duration_is_said_as_a_person_would(seconds, text):
    assert display.duration(seconds) == text


@pytest.mark.parametrize("storage, shown", [
    ("postgresql://me:secret@there/x", "postgresql://me:***@there/x"),
    ("postgresql://there/x?user=me&password=secret", "postgresql://there/x?user=me&password=***"),
])  # fmt: skip
def test_the_command_to_join_can_be_pasted_and_has_no_password(storage, shown):
    line = printed(1_000, lambda console: display.tell_how_to_join(console, "it's; rm -rf ~", storage))
    words = shlex.split(line.partition(": ")[2])
    assert words == ["mlflow", "run", ".", "-e", "worker", "-P", "study=it's; rm -rf ~", "-P", f"storage={shown}"]


def test_what_is_odd_about_data_is_said_before_they_are_used(tmp_path):
    number = range(60)
    table = {
        "age": [None if row % 7 == 0 else row for row in number], "planet": "earth",
        "kind": ["rare" if row % 10 == 0 else "common" for row in number],
    }  # fmt: skip
    pd.DataFrame(table).to_csv(tmp_path / "x.csv", index=False)
    dataset = load_dataset(str(tmp_path / "x.csv"), target="kind")
    lines = printed(500, lambda console: display.introduce_data(console, dataset, SPLITS)).splitlines()
    assert lines == [
        f"x: 41 train, 7 validation, 12 test rows; SHA-256 {dataset.sha256[:12]}…; validation rows by class, seed 1; "
        "test rows a fifth by class, seed 3",
        "Classes are uneven: from 4 (rare) to 37 (common) training rows. val_balanced_accuracy counts each class "
        "alike.",
        "Columns: values missing in age, each with a column that says so; left out, as they never change: planet",
    ]
    digits = load_dataset("digits")
    assert len(printed(500, lambda console: display.introduce_data(console, digits, SPLITS)).splitlines()) == 1
