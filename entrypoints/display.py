"""A study on the screen: a live display on a terminal, one line a trial elsewhere, and the table at the end."""

import time
from collections.abc import Callable, Sequence

import click
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.analysis.ablation_results import Study
from study.analysis.search_results import SearchStudy
from study.data.dataset import Dataset
from study.execution.queue import Progress
from study.execution.storage import has_password, without_password
from study.execution.time_estimate import TimeLeft
from study.reports import ablation_report, search_report

WORDS_WIDTH = 12  # what a column of words has at least, before they are folded
STATE_WIDTH = 6
ON_OTHERS = "these results are not on MNIST"
MARKS = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}


class Display:
    """Shows how far the trials are, as a context; call it with the progress of all of them.

    Without `time_left` no end is foreseen; `total` is how many trials there will be, unless as many are queued already.
    With `better` (one value, another) the trials are a search's: each is told with its value and settings, and the best
    so far is marked.
    """

    def __init__(
        self,
        console: Console,
        time_left: TimeLeft | None,
        better: Callable[[float, float], bool] | None = None,
        total: int | None = None,
    ):
        self._console, self._time_left, self._better, self._total = console, time_left, better, total
        self._start = time.monotonic()
        self._reported: set[int] = set()
        self._best: float | None = None
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, trials: Sequence[Progress]) -> None:
        """Take in how far every trial is."""
        ended = [trial for trial in trials if trial.finished]
        for trial in ended:
            if trial.slot not in self._reported:
                self._reported.add(trial.slot)
                line = self._line(trial, len(self._reported), trials)
                self._console.print(line, markup=False, highlight=False)
        if self._live:
            self._live.update(self._picture(trials, len(ended)))

    def _line(self, trial: Progress, number: int, trials: Sequence[Progress]) -> str:
        total, width = self._in_all(trials), max(len(each.name) for each in trials)
        elapsed = duration(time.monotonic() - self._start)
        count = f"{number:>{len(str(total))}}/{total}"
        state = "reused" if trial.reused and trial.state == "COMPLETE" else MARKS[trial.state]
        told = self._found(trial) if self._better else _last_epoch(trial)
        reason = f"  ({trial.reason})" if trial.reason else ""
        return f"{count}  {elapsed:>5}  {trial.name:<{width}}  {state:<{STATE_WIDTH}}{told}{reason}".rstrip()

    def _in_all(self, trials: Sequence[Progress]) -> int:
        return max(self._total or 0, len(trials))

    def _found(self, trial: Progress) -> str:
        """Return a search's trial in words: its value, or where it was cut short, and its settings."""
        value, mark = "–" if trial.value is None else _loss(trial.value), ""
        if trial.state == "PRUNED":
            mark = f"epoch {trial.epoch}"
        elif trial.state == "COMPLETE" and (self._best is None or self._better(trial.value, self._best)):
            self._best, mark = trial.value, "best"
        return f"  {value:>8}  {mark:<8}  {trial.settings}"

    def _picture(self, trials: Sequence[Progress], ended: int) -> Table:
        elapsed = time.monotonic() - self._start
        picture = Table.grid(padding=(0, 2))
        left = f", about {duration(self._time_left.after(elapsed, trials))} left" if self._time_left else ""
        total = self._in_all(trials)
        picture.add_row(
            ProgressBar(total=total, completed=ended, width=30),
            f"{ended} of {total} trials",
            f"{duration(elapsed)} gone{left}",
        )
        for trial in trials:
            if trial.state == "RUNNING":
                value = "starting" if trial.value is None else f"{_metric(trial)} {_loss(trial.value)}"
                picture.add_row(
                    Text(trial.name), f"epoch {trial.epoch} of {trial.epochs}", f"{value}  {trial.settings}"
                )
        return picture


def _metric(trial: Progress) -> str:
    return "value" if trial.settings else "val_loss"  # a search's trials have settings, and report what it optimizes


def _last_epoch(trial: Progress) -> str:
    return "" if trial.value is None else f"  epoch {trial.epoch}  {_metric(trial)} {_loss(trial.value)}"


def _loss(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.3g}"


def count(number: int, word: str) -> str:
    """Return ``1 seed``, ``6 seeds``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def duration(seconds: float) -> str:
    """Return seconds as a person would say them: ``48 s``, ``3:20``, ``1:02:03``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def print_findings(console: Console, study: Study, verdicts: bool = True) -> None:
    """Print the table of the arms and, unless they are not asked for, that of the verdicts, and how to read them."""
    console.print()
    print_table(console, ablation_report.COLUMNS, ablation_report.cells(study.arms))
    console.print(ablation_report.NOTE, style="dim", highlight=False)
    console.print()
    if not verdicts:
        return
    print_table(
        console,
        ablation_report.VERDICT_COLUMNS,
        ablation_report.verdict_cells(study.verdicts),
        words=("against", "verdict"),
    )
    console.print(ablation_report.VERDICT_NOTE, style="dim", highlight=False)
    console.print()


def print_search(console: Console, study: SearchStudy) -> None:
    """Print the table of the ten best configurations, what mattered, what to widen, and how sure it is."""
    console.print()
    if study.top:
        print_table(console, search_report.columns(study), search_report.cells(study), words=("settings",))
        console.print()
    console.print(search_report.importance_line(study), markup=False, highlight=False)
    for line in search_report.edge_lines(study):
        warn(line)
    if study.top:
        console.print(search_report.CAUTION, style="dim", markup=False, highlight=False)
    console.print()


def print_table(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[str] = ()
) -> None:
    """Print a table; where it is narrow the words (the first column and those in `words`) wrap; no number is cut."""
    picture = Table(box=None, header_style="bold", pad_edge=False)
    least = 0
    for column, *values in zip(columns, *rows, strict=True):
        if column in (columns[0], *words):
            picture.add_column(column, overflow="fold")
            least += WORDS_WIDTH + 2
        else:
            width = max(map(len, (*column.split(), *values)))  # of the longest word or number
            picture.add_column(column, justify="right", min_width=width)
            least += width + 2
    for row in rows:
        picture.add_row(*map(Text, row))
    console.print(picture, width=max(console.width, least), crop=False)


def warn(message: str) -> None:
    """Print a warning that cannot be overlooked, on the standard error."""
    click.secho(f"WARNING: {message}", fg="yellow", bold=True, err=True)


def introduce_data(console: Console, dataset: Dataset, splits: Sequence[str], what: str = ON_OTHERS) -> None:
    """Print which data are used and how many rows the splits have; warn where they are not those that were meant."""
    warn_of_substitute(dataset, what)
    rows = ", ".join(f"{len(getattr(dataset, split)):,} {split}" for split in splits)
    line = f"{dataset.name}: {rows} rows; SHA-256 {dataset.sha256[:12]}…"
    console.print(line if "test" in splits else f"{line}; no trial sees the test images", markup=False, highlight=False)


def warn_of_substitute(dataset: Dataset, what: str) -> None:
    """Warn where the data are not those that were meant; `what` says so."""
    if dataset.substitute_for:
        warn(f"{what}. The small UCI digits stand in for {dataset.substitute_for}.")


def tell_of_reused(number: int) -> None:
    """Print how many trials were not trained, if any."""
    if number:
        click.echo(f"{count(number, 'trial')} carried over from earlier studies (reuse=false: train).")


def warn_of_ended(trials: Sequence[Progress], how: str, total: int) -> None:
    """Warn of the trials that ended so, if any, with the first one's reason."""
    if trials:
        first = trials[0]
        warn(f"{len(trials)} of {count(total, 'trial')} {how}; the first: {first.name}, {first.reason}.")


def tell_how_to_join(console: Console, name: str, storage: str) -> None:
    """Print how another machine joins a study, where its queue can be reached from one."""
    if not storage.startswith("sqlite"):
        command = f"mlflow run . -e worker -P study={name} -P storage={without_password(storage)}"
        console.print(f"Another machine joins by: {command}", markup=False, highlight=False)


def warn_of_password(storage: str) -> None:
    """Warn where a database's address has a password in it: `mlflow run` records what it is given, for all to read."""
    if has_password(storage):
        warn("the storage's address has a password, which `mlflow run` records in the run. PGPASSWORD or ~/.pgpass "
             "keep it out of there.")  # fmt: skip
