"""Who is alive: workers that stood still, clocks that differ between machines, all of it in real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import DATABASES, ROOT
from factories.programs import runs_of, searched, wait_until
from mlflow import MlflowClient
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import text

from study.design.search import Budget
from study.execution.attributes import tries_before
from study.execution.queue import create_queue
from study.execution.storage import GRACE_SECONDS
from study.tracking.store import connect
from study.workflows import run_search
from study.workflows.slot_supply import SlotSupply

pytestmark = pytest.mark.usefixtures("connections_closed")
# A worker as any other, but for its training, which takes its time, and for seconds instead of many of them.
WORK = """
import sys, time
from types import SimpleNamespace
from study.execution import storage, worker
storage.HEARTBEAT_SECONDS, storage.GRACE_SECONDS, worker.IDLE_SECONDS = 1, 4, 0

def train(config, dataset, record, name, on_epoch):
    for number in range(1, int(sys.argv[3]) + 1):
        time.sleep(0.1)
        record.log_epoch(number, {"val_cross_entropy": 1 / number})
        epoch = SimpleNamespace(number=number, val_cross_entropy=1 / number)
        on_epoch(epoch)
    record.log_summary({"model_val_cross_entropy": epoch.val_cross_entropy})
    return SimpleNamespace(state="complete", reason=None, epochs=(epoch,), model_epoch=1)

print(worker.work(sys.argv[1], sys.argv[2], train=train))
"""
CLAIM = """
import json, sys, time
from study.execution import queue, recovery
there = queue.load_queue(sys.argv[1], sys.argv[2])
if sys.argv[3] == "claim":
    import warnings
    warnings.simplefilter("ignore")
    trial = there.ask()
    there._storage.record_heartbeat(trial._trial_id)
stale = there._storage._get_stale_trial_ids(there._study_id)
print(json.dumps({"stale": len(stale), "clock": time.time()}))
"""


def worker(storage: str, name: str, epochs: int) -> subprocess.Popen:
    words = [sys.executable, "-c", WORK, storage, name, str(epochs)]
    return subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


def written(client: MlflowClient, run_id: str) -> tuple:
    """Return all that a run has."""
    run = client.get_run(run_id)
    history = client.get_metric_history(run_id, "val_cross_entropy")
    points = [(point.step, point.value, point.timestamp) for point in history]
    return run.info.status, run.info.end_time, run.data.tags, run.data.metrics, points


@pytest.mark.slow
@pytest.mark.parametrize("storage", DATABASES, indirect=True)
def test_a_worker_that_stood_still_writes_nothing_into_a_trial_that_another_has(storage, name, store, digits):
    client = connect()
    search, data = searched(1, digits), digits.without_test()
    queue, _ = create_queue(storage, name)
    run = run_search.open_search(client, name)
    run_search.begin(search, data, queue, run, {}, reuse=False)
    SlotSupply(queue, search, Budget(1, None))([])
    first = worker(storage, name, 1_000)
    try:
        wait_until(lambda: any(len(trial.intermediate_values) > 2 for trial in queue.trials), first)
        first.send_signal(signal.SIGSTOP)
        second = worker(storage, name, 3)
        assert second.communicate(timeout=240)[0] == "1\n"
        (done,) = (trial for trial in queue.trials if trial.state == TrialState.COMPLETE)
        lost = queue.trials[0]
        assert tries_before(done) == [0] and lost.state == TrialState.FAIL
        before = written(client, done.user_attrs["run_id"]), done, lost
        assert client.get_run(lost.user_attrs["run_id"]).info.status == "KILLED"
        first.send_signal(signal.SIGCONT)
        assert first.communicate(timeout=240)[0] == "1\n"  # it has found nothing else to do
    finally:
        first.kill()
        first.communicate()
    after = queue.trials
    assert (written(client, done.user_attrs["run_id"]), after[done.number], after[0]) == before
    assert {run.info.status for run in runs_of(client, name)} == {"FINISHED", "KILLED"} and len(after) == 2
    assert client.get_run(lost.user_attrs["run_id"]).info.status == "KILLED"


@pytest.mark.parametrize("storage", DATABASES, indirect=True)
def test_heartbeats_are_written_and_judged_by_the_databases_clock(storage, name, new_store, monkeypatch):
    """Who asks the database has no clock of his own here."""
    queue, _ = create_queue(storage, name)
    queue.enqueue_trial({})
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        trial = queue.ask()
    told = queue._storage._backend
    monkeypatch.setattr("optuna.storages._rdb.storage.datetime", None)
    RDBStorage.record_heartbeat(told, trial._trial_id)  # ours would hide a failure
    assert told._get_stale_trial_ids(queue._study_id) == []
    with told.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2001-01-01 00:00:00'"))
    assert told._get_stale_trial_ids(queue._study_id) == [trial._trial_id]


@pytest.mark.matrix
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("faketime"), reason="needs Debian's faketime")
def test_clocks_and_time_zones_that_differ_by_hours_confuse_nobody(postgres, name, new_store):
    storage = postgres.new_database()
    queue, _ = create_queue(storage, name)
    there = {
        "an hour ahead": (["faketime", "-f", "+1h"], {}, 3_600),
        "an hour behind": (["faketime", "-f", "-1h"], {}, -3_600),
        "in Tokyo": ([], {"PGTZ": "Asia/Tokyo"}, 0),
        "in Honolulu": ([], {"PGTZ": "Pacific/Honolulu"}, 0),
    }

    def asks(place: str, what: str) -> int:
        words, environment, seconds = there[place]
        words = [*words, sys.executable, "-c", CLAIM, storage, name, what]
        environment = os.environ | environment | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert abs(said["clock"] - time.time() - seconds) < 300
        return said["stale"]

    for place in there:
        queue.enqueue_trial({})
        assert asks(place, "claim") == 0 and queue._storage._get_stale_trial_ids(queue._study_id) == []
    time.sleep(GRACE_SECONDS + 2)
    assert {place: asks(place, "look") for place in there} == dict.fromkeys(there, len(there))
