"""A worker: it takes trials from a queue, trains and records them, until the queue ends or nothing is left.

As a program (``python -m study.execution.worker``) it reads from its standard input where to work, and ends when that
closes.
"""

import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import optuna
from optuna.trial import TrialState

from study.base import processes, startup
from study.base.errors import DEBUG_VARIABLE, DataError, WorkerError, in_one_line
from study.base.startup import hush
from study.data.dataset import Dataset, load_dataset
from study.design.search import Search, parse_search
from study.execution import pruning, reuse, sampling
from study.execution.queue import Assignment, Queue, QueueEmpty, equal_point, load_queue, requeue
from study.execution.storage import FAULTS
from study.tracking import records, runs, store
from study.training.config import TrialConfig, brief, settings_text
from study.training.fingerprint import fingerprint, training_code_version

IDLE_SECONDS = 30  # after which a worker leaves a queue in which nothing waits and nothing runs
MOST_FAULTS = 3  # of the store, one after the other, before a worker ends
LOOK_SECONDS = 5  # between two looks for workers that have ended
STOP_SECONDS = 15
STORE_FAULTS = (OSError, *FAULTS, *store.FAULTS)


class StoreFault(BaseException):
    """What a trial writes to is full, read-only or gone: no fault of the trial, and no use in taking the next.

    Not an Exception, so that Optuna lets it through.
    """


class Diverged(Exception):
    """A trial's loss was not finite; a result, which Optuna keeps as a failed trial with its reason."""


class Repeated(Exception):
    """A search has come to a point that it has tried already; another slot takes this one's place."""


def work(storage: str, name: str, *, spec: str | None = None, run: Callable | None = None) -> int:
    """Run trials of the queue of this name in this process until it ends, or nothing is left; return how many.

    `spec` names the data on this machine, where the study's own name for them does not do; `run` runs one trial, as
    `run_trial` does. Raises QueueError, WorkerError, TrackingError where the study's run is not in this store, and
    DataError where this machine's data are not the study's.
    """
    queue = load_queue(storage, name)
    assignment = queue.assignment
    search = parse_search(assignment.search, name) if assignment.search else None
    if search:
        queue = load_queue(storage, name, sampling.sampler(search), pruning.pruner(search))
    worker = _Worker(queue, assignment, search, spec, run)
    idle_since, looked, faults = None, -math.inf, 0
    while not queue.ended:
        if time.monotonic() - looked > LOOK_SECONDS:
            queue.put_back_lost()
            looked = time.monotonic()
        try:
            queue.optimize(worker.run_trial, n_trials=1, catch=(Exception,))
            idle_since, faults = None, 0
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
            pass  # this process stood still for so long that another has taken the trial up
        except StoreFault as failure:
            faults += 1
            if faults == MOST_FAULTS:
                raise WorkerError(f"nothing can be recorded ({failure})", where=name) from None
            time.sleep(LOOK_SECONDS)
        except QueueEmpty:
            idle_since = None if queue.at_work() else idle_since or time.monotonic()
            if idle_since and time.monotonic() - idle_since > IDLE_SECONDS:
                break
            time.sleep(0.5)  # whoever runs the last trials may die, and then they are back
    return worker.done


class _Worker:
    """What a worker keeps from trial to trial: the data, the MLflow client, the facts about itself."""

    def __init__(
        self,
        queue: Queue,
        assignment: Assignment,
        search: Search | None,
        spec: str | None,
        run: Callable | None,
    ):
        self.queue, self.assignment, self.search = queue, assignment, search
        self.metric = search.metric if search else "val_loss"
        self.client = store.connect()
        records.check_study(self.client, assignment.run_id, assignment.tracking_uri)
        if assignment.training_code != training_code_version():
            raise WorkerError(
                "the training code or its libraries are not those of the study", where=queue.study_name,
                hint="Every machine needs the same commit of this project and its pinned environment.",
            )  # fmt: skip
        self.dataset = self._load(spec)
        self.process = processes.this_process()
        self.tags = runs.code_tags() | self.process
        self.done = 0
        if run is None:
            from study.execution.run_trial import run_trial  # imports TensorFlow

            run = run_trial
        self.run = run

    def _load(self, spec: str | None) -> Dataset:
        assignment = self.assignment
        dataset = load_dataset(spec or assignment.data, assignment.validation)
        if dataset.sha256 != assignment.data_sha256:
            raise DataError(
                "not the data of this study", where=dataset.spec,
                expected=f"SHA-256 {assignment.data_sha256[:12]}…", got=f"{dataset.sha256[:12]}…",
                hint="A worker names those of its own machine: -P data=…",
            )  # fmt: skip
        dataset = replace(dataset, substitute_for=assignment.substitute_for)
        return dataset if assignment.open_test else dataset.without_test()

    def run_trial(self, trial: optuna.Trial) -> float:
        """Run one trial, record it in a run of its own and return its value: the metric of the weights it kept.

        What goes wrong is raised again for Optuna, after it has become the trial's and the run's reason.
        """
        run = None
        try:
            trial.set_user_attr("worker", self.process)
            config = self._config(trial)
            mark = fingerprint(config, self.dataset.sha256, len(self.dataset.validation))
            if (last := self._last_try(trial)) and last.status == "FINISHED":  # its worker died before it could say so
                return self._tell(last.tags["state"], records.read_epochs(self.client, last.run_id), last, trial)
            equal = reuse.find(self.client, mark) if self.assignment.reuse else None
            run = self._start_run(trial, config, mark)
            return self._carry(equal, config, run, trial) if equal else self._train(config, run, trial)
        except (Diverged, Repeated) as failure:
            trial.set_user_attr("reason", str(failure))
            raise
        except optuna.TrialPruned:
            raise
        except STORE_FAULTS as failure:
            reason = in_one_line(failure)
            with contextlib.suppress(*STORE_FAULTS):  # what cannot be written now is put right when it can be
                self._put_back(trial)
                # Optuna does so after an Exception only, and a trial that seems to run is in the way of its next try.
                self.queue.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            with contextlib.suppress(*STORE_FAULTS):
                _end(run, "KILLED", reason)
            raise StoreFault(reason) from failure
        except KeyboardInterrupt:
            try:
                self._put_back(trial)
            finally:
                _end(run, "KILLED", "interrupted")
            raise
        except Exception as failure:
            reason = in_one_line(failure)
            try:
                trial.set_user_attr("reason", reason)
            finally:
                _end(run, "FAILED", reason)
            raise
        finally:
            self.done += 1

    def _config(self, trial: optuna.Trial) -> TrialConfig:
        """Return the config of a cell, or what the search suggests for its slot."""
        if not self.search:
            return TrialConfig.parse(trial.user_attrs["config"])
        settings = self.search.space.suggest(trial)
        config = self.search.baseline.replace(settings)
        if (other := equal_point(self.queue, trial)) is not None:
            trial.set_user_attr("repeats", other)
            raise Repeated(f"the same point as trial {other}")
        trial.set_user_attr("settings", settings_text(settings, brief))
        return config

    def _train(self, config: TrialConfig, run: runs.Run, trial: optuna.Trial) -> float:
        def report(epoch) -> bool:
            trial.report(getattr(epoch, self.metric), epoch.number)
            return trial.should_prune()

        result = self.run(config, self.dataset, run, trial.user_attrs["name"], report)
        if result.state == "diverged":
            raise Diverged(result.reason)
        if result.state == "pruned":
            raise optuna.TrialPruned(result.reason)
        return getattr(result.epochs[result.model_epoch - 1], self.metric)

    def _carry(self, equal: reuse.Equal, config: TrialConfig, run: runs.Run, trial: optuna.Trial) -> float:
        """Let the trial be what an equal one was, in any study; return its value."""
        trial.set_user_attr("reused_from", equal.record.run_id)
        reuse.carry(equal, config, self.dataset, run, trial.user_attrs["name"])
        return self._tell("complete", equal.epochs, equal.record, trial)

    def _tell(self, state: str, epochs: list[dict], record: records.RunRecord, trial: optuna.Trial) -> float:
        """Tell Optuna what a run has recorded, and return its value."""
        for number, metrics in enumerate(epochs, start=1):
            trial.report(metrics[self.metric], number)
        if state == "pruned":
            raise optuna.TrialPruned
        return record.metrics[f"model_{self.metric}"]

    def _last_try(self, trial: optuna.Trial) -> records.RunRecord | None:
        """Return the run of this trial's last try, whose worker died, ended if it was not."""
        if not (run_id := trial.user_attrs.get("run_id")):
            return None
        record = records.read_run(self.client, run_id)
        if record.status == "RUNNING":
            runs.Run(self.client, run_id).end("KILLED", "its worker died; another took the trial up")
        return record

    def _start_run(self, trial: optuna.Trial, config: TrialConfig, mark: str) -> runs.Run:
        attributes = trial.user_attrs
        tags = {
            "slot": attributes["slot"],
            "seed": config.seed,
            "optuna_study": self.queue.study_name,
            "optuna_trial": trial.number,
            "fingerprint": mark,
        }
        if "arm" in attributes:
            tags["arm"] = attributes["arm"]
        run = runs.start_trial_run(
            self.client, self.assignment.run_id, attributes["name"], config.as_text(), self.tags | tags
        )
        trial.set_user_attr("run_id", run.run_id)
        return run

    def _put_back(self, trial: optuna.Trial) -> None:
        """Enqueue a trial again that is not to blame for coming to nothing."""
        requeue(self.queue, self.queue.frozen(trial), counts=False)


def _end(run: runs.Run | None, status: str, reason: str) -> None:
    if run:
        run.end(status, reason)


# --- the program ------------------------------------------------------------------------------------


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
        import study.execution.run_trial  # noqa: F401  TensorFlow, while the parent prepares the work

        startup.resume_collector()
        storage, name, spec = json.loads(_read_line())
        threading.Thread(target=_end_with_parent, daemon=True).start()
        work(storage, name, spec=spec)
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
