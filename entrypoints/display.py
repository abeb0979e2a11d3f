"""Shows a study on the screen: live progress on a terminal, a line for each trial, and the tables at the end."""

import shlex
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from entrypoints import dataset_lines, interval_bars, program
from study.analysis.ablation_results import AblationResults
from study.analysis.formatting import count, show
from study.analysis.search_results import SearchResults
from study.analysis.seed_plan import is_open
from study.analysis.verdicts import Kind
from study.base.passwords import has_password, without_password
from study.base.text import readable
from study.data.dataset import Dataset
from study.data.split import BY_CLASS, LAST_ROWS
from study.design.ablation import TrialSpec
from study.execution.queue import Progress
from study.execution.time_estimate import USUAL, Pace, TimeLeft, Total, trial_seconds
from study.reports import ablation_tables, search_tables
from study.reports.table import Table

WORDS_WIDTH = 12  # letters that a column of words keeps, however narrow the terminal
STATE_WIDTH = 6
MOST_OPEN = 4  # comparisons that a look names
ON_OTHERS = "these results are not on MNIST"
MARKS = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}


class Forecast(Protocol):
    """Says how long the trials will take, and how many there will be: a TimeLeft, or a SearchForecast."""

    def after(self, elapsed: float, trials: Sequence[Progress]) -> float: ...

    def total(self, trials: Sequence[Progress]) -> Total: ...


class Display:
    """Shows the progress of the trials, as a context; call it with the progress of all of them.

    Without a `forecast` it shows no end. With `better` (one value, another) the trials are a search's: each line has
    the value and the settings, and a mark if it is the best so far.
    """

    def __init__(
        self, console: Console, forecast: Forecast | None, better: Callable[[float, float], bool] | None = None
    ):
        self._console, self._forecast, self._better = console, forecast, better
        self._left = 0.0  # seconds, by the forecast
        self._start = time.monotonic()
        self._reported: set[int] = set()
        self._best: float | None = None
        self._study: AblationResults | None = None  # at the last look
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave on the terminal what it shows, so that something else can be shown; does nothing the second time."""
        if self._live:
            self._live.stop()

    def __call__(self, trials: Sequence[Progress]) -> None:
        """Show the trials' progress."""
        if self._forecast:
            self._left = self._forecast.after(time.monotonic() - self._start, trials)
        ended = [trial for trial in trials if trial.finished]
        for trial in ended:
            if trial.slot not in self._reported:
                self._reported.add(trial.slot)
                line = self._line(trial, len(self._reported), trials)
                write(self._console, line)
        if self._live:
            self._live.update(self._picture(trials, len(ended)))

    def looks(
        self, dataset: Dataset, workers: int, pace: Pace = USUAL
    ) -> Callable[[AblationResults, Sequence[TrialSpec]], None]:
        """Return a function that shows what an ablation has settled so far, given the trials that follow."""

        def look(study: AblationResults, more: Sequence[TrialSpec]) -> None:
            self._study = study
            if isinstance(self._forecast, TimeLeft):
                self._forecast.add([trial_seconds(spec.config, dataset, pace) for spec in more], workers)
            line = look_line(study, len(more), duration(time.monotonic() - self._start))
            write(self._console, line, style="bold")

        return look

    def _line(self, trial: Progress, number: int, trials: Sequence[Progress]) -> str:
        total, width = self._total(trials), max(len(each.name) for each in trials)
        elapsed = duration(time.monotonic() - self._start)
        place = f"{number:>{len(str(total.high))}}/{total}"
        state = "reused" if trial.reused and trial.state == "COMPLETE" else MARKS[trial.state]
        told = self._found(trial) if self._better else _last_epoch(trial)
        reason = f"  ({trial.reason})" if trial.reason else ""
        return f"{place}  {elapsed:>5}  {trial.name:<{width}}  {state:<{STATE_WIDTH}}{told}{reason}".rstrip()

    def _total(self, trials: Sequence[Progress]) -> Total:
        return self._forecast.total(trials) if self._forecast else Total(len(trials), len(trials))

    def _found(self, trial: Progress) -> str:
        """Return a search's trial in words: its value, the epoch at which it was pruned, and its settings."""
        value, mark = "–" if trial.value is None else _loss(trial.value), ""
        if trial.state == "PRUNED":
            mark = f"epoch {trial.epoch}"
        elif trial.state == "COMPLETE" and trial.value is not None and self._is_best(trial.value):
            self._best, mark = trial.value, "best"
        return f"  {value:>8}  {mark:<8}  {trial.settings}"

    def _is_best(self, value: float) -> bool:
        return self._best is None or (self._better is not None and self._better(value, self._best))

    def _picture(self, trials: Sequence[Progress], ended: int) -> RenderableType:
        elapsed = time.monotonic() - self._start
        picture = Grid.grid(padding=(0, 2))
        total = self._total(trials)
        left = f", about {duration(self._left)} left" if self._forecast else ""
        picture.add_row(
            ProgressBar(total=total.high, completed=ended, width=30),
            f"{ended} of {total} trials",
            f"{duration(elapsed)} elapsed{left}",
        )
        for trial in trials:
            if trial.state == "RUNNING":
                value = "starting" if trial.value is None else f"{_metric(trial)} {_loss(trial.value)}"
                words = (trial.name, f"epoch {trial.epoch} of {trial.epochs}", f"{value}  {trial.settings}")
                picture.add_row(*map(_plain, words))
        return Group(interval_bars.picture(self._study), picture) if self._study else picture


def look_line(study: AblationResults, more: int, elapsed: str) -> str:
    """Return in a line how many comparisons are settled, which are open, and how many trials follow."""
    judged = study.judged
    still = [verdict for verdict in judged if is_open(verdict)]
    settled = sum(verdict.kind in (Kind.HELPS, Kind.HURTS, Kind.NO_EFFECT) for verdict in judged)
    line = f"{elapsed:>5}  {settled} of {len(judged)} settled"
    if still:
        line += "; open: " + ", ".join(
            f"{one.arm}{f' against {one.against}' if study.pairs else ''} ({show(one.effect, signed=True)}, "
            f"{count(one.effect.n, 'seed')})"
            for one in still[:MOST_OPEN]
            if one.effect
        )
        line += f", and {len(still) - MOST_OPEN} more" if len(still) > MOST_OPEN else ""
    return f"{line}. {count(more, 'more trial')}." if more else f"{line}."


def _metric(trial: Progress) -> str:
    return "value" if trial.settings else "val_loss"  # a search's trials have settings, and report what it optimizes


def _last_epoch(trial: Progress) -> str:
    return "" if trial.value is None else f"  epoch {trial.epoch}  {_metric(trial)} {_loss(trial.value)}"


def _loss(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return seconds as a person would say them: ``48 s``, ``3:20``, ``1:02:03``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def minutes(number: float) -> str:
    """Return ``1 minute``, ``20 minutes``, ``0.5 minutes``."""
    return f"{number:g} minute{'' if number == 1 else 's'}"


def print_findings(console: Console, study: AblationResults, verdicts: bool = True) -> None:
    """Print the table of the arms and, unless they are not asked for, that of the verdicts, with their notes."""
    console.print()
    print_table(console, ablation_tables.arms_table(study.arms))
    write(console, ablation_tables.NOTE, style="dim")
    for note in ablation_tables.notes(study):
        write(console, note)
    console.print()
    if verdicts:
        print_table(console, ablation_tables.verdicts_table(study))
        if study.effects:
            console.print()
            print_table(console, ablation_tables.effects_table(study))
        for note in ablation_tables.verdict_notes(study):
            write(console, note, style="dim")
        console.print()


def print_search(console: Console, study: SearchResults) -> None:
    """Print the verdict, the ten best configurations, the importances, the ranges to widen, and a caution."""
    from study.reports import confirmation_section  # imports matplotlib

    console.print()
    if verdict := confirmation_section.lines(study):
        for number, line in enumerate(verdict):
            write(console, line, style=None if number else "bold")
        console.print()
    if study.top:
        for line in search_tables.best_lines(study):
            write(console, line)
        console.print()
        print_table(console, search_tables.top_table(study))
        console.print()
    for line in search_tables.phase_lines(study):
        write(console, line)
    write(console, search_tables.importance_line(study))
    for line in search_tables.edge_lines(study):
        warn(line)
    if study.top:
        write(console, search_tables.CAUTION, style="dim")
    console.print()


def print_table(console: Console, table: Table) -> None:
    """Print a table; if it is wider than the terminal, words wrap, but no number is cut."""
    picture = Grid(box=None, header_style="bold", pad_edge=False)
    rows, least = table.cells(), 0
    for column, *values in zip(table.columns, *rows, strict=True):
        if column.words:
            picture.add_column(column.title, overflow="fold")
            least += WORDS_WIDTH + 2
        else:
            width = max(map(len, (*column.title.split(), *values)))  # of the longest word or number
            picture.add_column(column.title, justify="right", min_width=width)
            least += width + 2
    for row in rows:
        picture.add_row(*map(_plain, row))
    console.print(picture, width=max(console.width, least), crop=False)


def write(console: Console, text: str, style: str | None = None) -> None:
    """Print text as it is: no markup in it is obeyed, neither rich's nor the terminal's."""
    console.print(readable(text), style=style, markup=False, highlight=False)


def _plain(text: str) -> Text:
    return Text(readable(text))


def warn(message: str) -> None:
    """Print a warning on the standard error."""
    click.secho(f"WARNING: {readable(message)}", fg="yellow", bold=True, err=True)


def introduce_data(console: Console, dataset: Dataset, splits: Sequence[str], what: str = ON_OTHERS) -> None:
    """Print the dataset and the rows of its splits; warn if it stands in for another."""
    warn_of_substitute(dataset, what)
    rows = ", ".join(f"{len(getattr(dataset, split)):,} {split}" for split in splits)
    line = f"{dataset.name}: {rows} rows; SHA-256 {dataset.sha256[:12]}…"
    if dataset.split != LAST_ROWS:
        line += f"; validation rows {dataset.split}"
    if dataset.split == BY_CLASS and not dataset.test_split:
        line += ", as the last rows are no fair sample of the classes"
    if dataset.test_split:
        line += f"; test rows {dataset.test_split}"
    if dataset.untrained:
        classes = ", ".join(dataset.class_names[label] for label in dataset.untrained)
        warn(f"{dataset.name} has no training row of class {classes}, which validation or test rows have. No network "
             "can learn it, and the accuracies count it as wrong. Mix the rows, or change validation=.")  # fmt: skip
    write(console, line if "test" in splits else f"{line}; no trial sees the test rows")
    for told in (dataset_lines.uneven(dataset), dataset_lines.columns(dataset)):
        if told:
            write(console, told)


def warn_of_substitute(dataset: Dataset, what: str) -> None:
    """Warn if the dataset stands in for another; `what` says what that means."""
    if dataset.substitute_for:
        warn(f"{what}. The small UCI digits stand in for {dataset.substitute_for}.")


def tell_of_reused(number: int) -> None:
    """Print how many trials were not trained again, if any."""
    if number:
        program.say(f"{count(number, 'trial')} carried over from earlier studies (reuse=false trains them again).")


def warn_of_ended(trials: Sequence[Progress], how: str, total: int) -> None:
    """Warn of the trials that ended like this, if any, with the first one's reason."""
    if trials:
        first = trials[0]
        warn(f"{len(trials)} of {count(total, 'trial')} {how}; the first: {first.name}, {first.reason}.")


def tell_how_to_join(console: Console, name: str, storage: str) -> None:
    """Print the command with which another machine joins a study, if it can reach the queue."""
    if not storage.startswith("sqlite"):
        given = ("-P", f"study={name}", "-P", f"storage={without_password(storage)}")
        command = shlex.join(("mlflow", "run", ".", "-e", "worker", *given))
        write(console, f"Another machine joins with: {command}")


def tell_how_to_follow(name: str, storage: str, given: str) -> None:
    """Print the commands that show a study's status, and that end it; `given` is the storage as it was given."""
    words = ["-P", f"study={name}", *(("-P", f"storage={without_password(storage)}") if given != "auto" else ())]
    for what, entry_point in (("How it goes", "status"), ("End it everywhere", "cancel")):
        program.say(f"{what}: {shlex.join(('mlflow', 'run', '.', '-e', entry_point, *words))}")


def warn_of_password(storage: str) -> None:
    """Warn if a database's address has a password in it, which `mlflow run` records for all to read."""
    if has_password(storage):
        warn("the storage's address has a password, which `mlflow run` records in the run. Use PGPASSWORD or ~/.pgpass "
             "instead.")  # fmt: skip
