"""Worker processes, and the Optuna storage in which they meet: queue, heartbeats, retries, progress.

A study's trials wait in the storage as enqueued trials; a worker takes one at a time, and no other gets it. When a
worker dies its heartbeat stops, and whoever asks next puts its trial back into the queue.

As a program (``python -m study.workers``) this is one worker, which reads from its standard input where to work.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

from study import data, tracking
from study.config import TrialConfig, fingerprint
from study.errors import DEBUG_VARIABLE, DataError, WorkerError, first_line, in_one_line
from study.quiet import hush

HEARTBEAT_SECONDS = 5
GRACE_SECONDS = 20
RETRIES = 2
POLL_SECONDS = 0.5
STOP_SECONDS = 15


@dataclass(frozen=True)
class Assignment:
    """What a worker has to know besides the trials: where to record them, and which data they are trained on.

    With `open_test` false the trials have no test rows.
    """

    tracking_uri: str
    run_id: str
    data: str
    validation: str
    data_sha256: str
    substitute_for: str | None = None
    open_test: bool = True


@dataclass(frozen=True)
class Cell:
    """One trial to be run: its name, the arm it belongs to, and its config."""

    arm: str
    config: TrialConfig

    @property
    def name(self) -> str:
        """The name of the trial's run."""
        return f"{self.arm} · seed {self.config.seed}"


class QueueEmpty(Exception):
    """No trial is waiting."""


class _Queue(RDBStorage):
    """An Optuna storage that hands out enqueued trials only, and each of them once."""

    def __init__(self, url: str):
        on_sqlite = url.startswith("sqlite")
        super().__init__(
            url,
            engine_kwargs={"connect_args": {"timeout": 60} if on_sqlite else {}, "pool_pre_ping": True},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(
                max_retry=RETRIES, inherit_intermediate_values=False
            ),
        )
        if on_sqlite:
            # A worker takes a trial by reading that it waits and writing that it runs. SQLite has no SELECT FOR UPDATE
            # and takes its lock at the first write, so that two workers could read the same; now at the first read.
            event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        # `Study.optimize` makes up a trial of its own when none is waiting, and between looking and asking another
        # worker may have taken the last. Refusing here, where every new trial is made, leaves no gap.
        if template_trial is None:
            raise QueueEmpty
        return super()._create_new_trial(study_id, template_trial)


def _open(storage: str) -> _Queue:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        return _Queue(storage)
    except Exception as failure:  # SQLAlchemy's, the driver's or Optuna's own
        raise WorkerError(f"the queue cannot be opened ({first_line(failure)})", where=storage) from failure


def create_queue(storage: str, name: str, assignment: Assignment, cells: Sequence[Cell]) -> optuna.Study:
    """Put the cells into the storage, in order, under a study of this name; its tables are made where there are none.

    Raises WorkerError where the storage cannot be opened.
    """
    study = optuna.create_study(study_name=name, storage=_open(storage), direction="minimize")
    study.set_user_attr("assignment", asdict(assignment))
    for cell in cells:
        study.enqueue_trial({}, user_attrs={"name": cell.name, "arm": cell.arm, "config": cell.config.as_text()})
    return study


# --- the parent's side ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far one trial is: Optuna's state in words, the last epoch and its val_loss, and why it failed."""

    name: str
    state: str
    epoch: int
    epochs: int
    val_loss: float | None
    reason: str | None

    @property
    def finished(self) -> bool:
        """Whether the trial has ended, well or not."""
        return self.state in ("COMPLETE", "PRUNED", "FAIL")


def progress(study: optuna.Study) -> list[Progress]:
    """Return how far each trial is, in the order of the queue; of a trial that was retried, the latest try."""
    latest: dict[str, Progress] = {}
    for trial in study.get_trials(deepcopy=False):
        attributes, values = trial.user_attrs, trial.intermediate_values
        state, reason, epoch = trial.state.name, attributes.get("reason"), max(values, default=0)
        if trial.state == TrialState.FAIL and reason is None:  # its heartbeat stopped
            # Optuna marks it failed first and puts it back into the queue then.
            tries = len(RetryHeartbeatStaleTrialCallback.retry_history(trial))
            state, reason = ("FAIL", "its workers died") if tries >= RETRIES else ("WAITING", None)
        latest[attributes["name"]] = Progress(
            name=attributes["name"],
            state=state,
            epoch=epoch,
            epochs=int(attributes["config"]["epochs"]),
            val_loss=values.get(epoch),
            reason=reason,
        )
    return list(latest.values())


class Workers:
    """Worker processes on this machine, as a context: they end when it does, or when this process dies.

    They start at once, and import what they need while this process prepares what `assign` then gives them to do.
    """

    def __init__(self, count: int):
        root = str(Path(__file__).resolve().parent.parent)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
        # Standard input is a pipe that closes when this process ends, however it ends; a worker ends with it.
        self._processes = [
            # A session of its own keeps a terminal's Ctrl-C from it: this process decides what is to be ended.
            subprocess.Popen(
                [sys.executable, "-m", "study.workers"], stdin=subprocess.PIPE, env=environment, start_new_session=True
            )
            for _ in range(count)
        ]

    def assign(self, storage: str, study_name: str) -> None:
        """Let the workers run the trials of the study of this name."""
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError):  # one that has died already; `watch` will tell
                process.stdin.write(json.dumps([storage, study_name]).encode() + b"\n")
                process.stdin.flush()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the workers, and with them what they are at."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()

    def watch(self, study: optuna.Study) -> Iterator[list[Progress]]:
        """Yield every trial's progress about twice a second, until all have ended.

        Raises WorkerError when no worker is left to end them, KeyboardInterrupt when the program that started
        this one is gone (`mlflow run` does not pass its own end on).
        """
        parent = os.getppid()
        while True:
            alive = any(process.poll() is None for process in self._processes)
            now = progress(study)
            yield now
            if all(trial.finished for trial in now):
                return
            if not alive:
                codes = sorted({process.returncode for process in self._processes})
                raise WorkerError(
                    f"every worker ended (exit status {', '.join(map(str, codes))}) before the trials did",
                    got=f"{sum(trial.finished for trial in now)} of {len(now)} trials",
                    hint="-9 often means that the memory ran out: try fewer workers." if -9 in codes else None,
                )
            if os.getppid() != parent:
                raise KeyboardInterrupt
            time.sleep(POLL_SECONDS)


# --- the worker's side ------------------------------------------------------------------------------


class Diverged(Exception):
    """A trial's loss was not finite; a result, which Optuna keeps as a failed trial with its reason."""


def work(storage: str, study_name: str) -> None:
    """Run trials from the queue until none is waiting or running, in this process.

    Raises DataError where this machine's data are not the study's.
    """
    study = optuna.load_study(study_name=study_name, storage=_open(storage))
    assignment = Assignment(**study.user_attrs["assignment"])
    worker = _Worker(assignment)
    while True:
        try:
            study.optimize(worker.run_trial, n_trials=1, catch=(Exception,))
        except QueueEmpty:
            if not study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                return
            time.sleep(1)  # whoever runs the last trials may die, and then they are back


class _Worker:
    """What a worker keeps from trial to trial: the data, the MLflow client, the facts about itself."""

    def __init__(self, assignment: Assignment):
        self.assignment = assignment
        self.client = tracking.client_of(assignment.tracking_uri)
        self.dataset = replace(
            data.load(assignment.data, assignment.validation), substitute_for=assignment.substitute_for
        )
        if self.dataset.sha256 != assignment.data_sha256:
            raise DataError(
                "not the data of this study", where=assignment.data,
                expected=f"SHA-256 {assignment.data_sha256[:12]}…", got=f"{self.dataset.sha256[:12]}…",
            )  # fmt: skip
        if not assignment.open_test:
            self.dataset = self.dataset.without_test()
        self.tags = tracking.code_tags() | {"host": socket.gethostname(), "pid": os.getpid()}

    def run_trial(self, trial: optuna.Trial) -> float:
        """Run one trial, record it in a run of its own and return its model's val_loss.

        What goes wrong is raised again for Optuna, after it has become the trial's and the run's reason.
        """
        from study import trial as trials  # imports TensorFlow

        run = None
        try:
            name, config = trial.user_attrs["name"], TrialConfig.parse(trial.user_attrs["config"])
            run = self._start_run(trial, name, config)
            result = trials.run(
                config, self.dataset, run, name, on_epoch=lambda epoch: trial.report(epoch.val_loss, epoch.number)
            )
            if result.state == "diverged":
                raise Diverged(result.reason)
        except Diverged as failure:
            trial.set_user_attr("reason", str(failure))
            raise
        except (Exception, KeyboardInterrupt) as failure:
            interrupted = isinstance(failure, KeyboardInterrupt)
            reason = "interrupted" if interrupted else in_one_line(failure)
            trial.set_user_attr("reason", reason)
            if run:
                run.end("KILLED" if interrupted else "FAILED", reason)
            raise
        return result.epochs[result.model_epoch - 1].val_loss

    def _start_run(self, trial: optuna.Trial, name: str, config: TrialConfig) -> tracking.Run:
        if lost := trial.user_attrs.get("run_id"):  # of a worker that died, of whose trial this is the next try
            tracking.Run(self.client, lost).end("KILLED", "its worker died; another took the trial up")
        tags = {
            "arm": trial.user_attrs["arm"],
            "seed": config.seed,
            "optuna_trial": trial.number,
            "fingerprint": fingerprint(config, self.dataset.sha256, len(self.dataset.validation)),
        }
        run = tracking.start_trial_run(self.client, self.assignment.run_id, name, config.as_text(), self.tags | tags)
        trial.set_user_attr("run_id", run.run_id)
        return run


def _end_with_parent() -> None:
    # Not through sys.stdin: a thread that waits inside it keeps the interpreter from ending.
    while os.read(0, 1):
        pass  # the pipe is open
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (character := os.read(0, 1)):
            raise KeyboardInterrupt  # the parent has ended
        line += character
    return line


def main() -> int:
    """Be one worker; return its exit status."""
    hush()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt
    try:
        import study.trial  # noqa: F401  TensorFlow, while the parent prepares the work

        storage, study_name = json.loads(_read_line())
        threading.Thread(target=_end_with_parent, daemon=True).start()
        work(storage, study_name)
    except KeyboardInterrupt:
        return 130
    except Exception as failure:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"worker {os.getpid()}: {in_one_line(failure)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
