"""Programs of a study as a person starts them, what they are asked, and what they leave in queues and in MLflow."""

import contextlib
import functools
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import psutil
from mlflow import MlflowClient
from optuna.trial import TrialState

from study.base import processes
from study.base.errors import StudyError
from study.design.search import Search
from study.design.search_space import parse_space
from study.execution.attributes import slot_of
from study.execution.queue import Queue, load_queue

PATIENCE_SECONDS = 240  # of the tests: other programs may need the machine as well
SPACE = "baseline: {{hidden: 8, epochs: {epochs}}}\nfields: {{learning_rate: {{range: [1.0e-3, 1.0e-1], log: true}}}}\n"
ABLATION = "question: Goes on?\nbaseline: {{hidden: 8, epochs: {epochs}}}\narms: {{grid: {{batch_size: [32, 64]}}}}\n"

# --- what they are asked ----------------------------------------------------------------------------


def search_file(epochs: int, folder: Path | str = ".") -> str:
    """Write a space whose trials take so many epochs; return its path."""
    path = Path(folder, f"space-{epochs}.yaml").resolve()
    path.write_text(SPACE.format(epochs=epochs))
    return str(path)


def searched(epochs: int, dataset) -> Search:
    own = parse_space(SPACE.format(epochs=epochs), "mine", "mine.yaml")
    own = own.with_baseline({"data": "digits", "validation": len(dataset.validation)})
    return Search(own, "val_cross_entropy", "tpe", "none")


def asked(name: str, storage: str, epochs: int, **given) -> dict:
    """Return the options of a search whose trials take so many epochs, none of them cut short or carried over."""
    return {
        "study": name, "storage": storage, "space": search_file(epochs), "data": "digits", "pruner": "none",
        "workers": 1, "reuse": "false", "confirm": "false",
    } | given  # fmt: skip


def null_run(config, dataset, record, name, on_epoch) -> SimpleNamespace:
    """Run a trial that trains nothing, as `run_trial` would one that does."""
    epoch = SimpleNamespace(number=1, val_cross_entropy=abs(np.log10(config.training.learning_rate) + 2))
    record.log_epoch(1, {"val_cross_entropy": epoch.val_cross_entropy})
    on_epoch(epoch)
    record.log_summary({"model_val_cross_entropy": epoch.val_cross_entropy})
    return SimpleNamespace(state="complete", reason=None, epochs=(epoch,), model_epoch=1)


# --- what the tests look at -------------------------------------------------------------------------


def said(program: subprocess.Popen) -> str:
    """Wait for a program, and for its workers, which write where it does; return its standard error."""
    return program.communicate(timeout=PATIENCE_SECONDS)[1]


def wait_until(condition: Callable[[], object], program: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        assert program is None or program.poll() is None, f"the program has ended: {program.communicate()}"
        time.sleep(0.2)


@functools.cache
def watched(storage: str, name: str) -> Queue:
    return load_queue(storage, name)


def trials_of(storage: str, name: str) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of a queue, in Optuna's own words; none where it is not there yet."""
    with contextlib.suppress(StudyError):
        return watched(storage, name).get_trials(deepcopy=False)
    return []


def at_work(storage: str, name: str, epochs: int = 1) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that have trained so many epochs, and are trained by a process that lives."""
    return [
        trial for trial in trials_of(storage, name)
        if trial.state == TrialState.RUNNING and len(trial.intermediate_values) >= epochs
        and not processes.is_gone(trial.user_attrs["worker"])
    ]  # fmt: skip


def done(storage: str, name: str) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials_of(storage, name) if trial.state == TrialState.COMPLETE]


def points(storage: str, name: str) -> dict[int, dict]:
    """Return the params of the finished trials by slot."""
    return {slot_of(trial): trial.params for trial in done(storage, name)}


def runs_of(client: MlflowClient, name: str) -> list:
    """Return the runs of a study's trials."""
    return list(client.search_runs(["0"], f"tags.optuna_study = '{name}'", max_results=10_000))


def studies(client: MlflowClient, task: str) -> list:
    """Return the runs of the studies of this task, the latest first; their arms and trials have the task as well."""
    return [run for run in client.search_runs(["0"], f"tags.task = '{task}'") if "study_run" not in run.data.tags]


def finished(client: MlflowClient, name: str) -> dict[str, str]:
    """Return the slots of the finished trial runs by run ID."""
    return {run.info.run_id: run.data.tags["slot"] for run in runs_of(client, name) if run.info.status == "FINISHED"}


def check_whole(client: MlflowClient, storage: str, name: str, trials: int) -> None:
    """Check that each slot has one finished trial and one finished run, and that nothing is left running."""
    once = {str(slot): 1 for slot in range(trials)}
    ended = Counter(str(slot_of(trial)) for trial in done(storage, name))
    assert ended == once, f"{ended}, and in all {[(slot_of(t), t.state.name) for t in trials_of(storage, name)]}"
    assert Counter(finished(client, name).values()) == once
    assert not any(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in trials_of(storage, name))
    assert not client.search_runs(["0"], f"attributes.status = 'RUNNING' and tags.study = '{name}'")
    assert not any(run.info.status == "RUNNING" for run in runs_of(client, name))


def workers_in(folder: Path) -> list[psutil.Process]:
    """Return the worker processes in this working folder."""
    there = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _is_worker(process) and Path(process.cwd()) == folder:
                there.append(process)
    return there


def _is_worker(process: psutil.Process) -> bool:
    """Return whether it is a worker: a child of the worker server that has kept the server's command line."""
    words, parent = process.cmdline(), process.parent()
    return "study.execution.worker_server" in words and parent is not None and parent.cmdline() == words
