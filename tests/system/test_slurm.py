"""A search whose workers a real Slurm runs, on two nodes: preempted, warned, cancelled."""

import re
import sys
from pathlib import Path

import pytest
from factories import clusters
from factories.programs import asked, at_work, check_whole, done, runs_of, said, trials_of, wait_until
from mlflow import MlflowClient
from optuna.trial import TrialState

from study.execution.attributes import UNCOUNTED, tries_before
from study.execution.engines import slurm as engine
from study.execution.engines.engine import Launch

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("connections_closed")]
# Stands in for the worker program where no study runs: it says with what it was started, and how it was ended.
PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("told to end", flush=True) or 130))
print(*sys.argv[1:], flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def slurm():
    if reason := clusters.slurm_missing():
        pytest.skip(reason)
    with clusters.Slurm() as cluster:
        yield cluster


@pytest.fixture
def servers(slurm, postgres, mlflow_server, tmp_path, monkeypatch) -> str:
    """Let programs use the servers and the cluster, from an empty folder; return the storage's address."""
    monkeypatch.chdir(tmp_path)
    for variable, value in slurm.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    return postgres.new_database().replace(f":{postgres.password}@", "@")


def jobs(slurm) -> dict[str, str]:
    """Return the state of each task of an array in Slurm, by its ID."""
    lines = slurm.ask("squeue", "--noheader", "--array", "--format=%i|%T", "--partition=normal").splitlines()
    return dict(line.split("|") for line in lines)


def running(slurm) -> list[str]:
    return [id for id, state in jobs(slurm).items() if state == "RUNNING"]


def test_slurm_shares_out_the_workers_and_a_warned_task_waits_again_and_all_end(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    monkeypatch.setattr(Launch, "words", lambda launch: [sys.executable, "-c", PROGRAM])
    launch = Launch(
        "study-told", "slurm", 3, {"per_job": "2", "time": "10"}, study="told", storage="unused", tracking_uri="unused",
        data=None, folder=str(tmp_path), host="unused", machine="unused",
    )  # fmt: skip

    def states() -> dict[str, str]:
        return {job.id: job.state for job in engine.jobs(launch)}

    def logs() -> list[str]:
        return [path.read_text() for path in sorted(tmp_path.glob("?.log"))]

    engine.start(launch)
    wait_until(lambda: logs() == ["--workers 2\n", "--workers 1\n"])
    first, second = sorted(states())
    slurm.ask("scancel", "--batch", "--signal=USR1", first)
    wait_until(lambda: states() == {first: "waiting", second: "running"})
    assert "told to end" in logs()[0] and "told to end" not in logs()[1]
    engine.cancel(launch)
    wait_until(lambda: not states() and "told to end" in logs()[1])


@pytest.mark.matrix
def test_preempted_and_warned_tasks_come_back_and_the_search_ends_its_jobs(slurm, servers, name, start):
    client = MlflowClient()
    given = asked(name, servers, 1_000, trials=3, launch="slurm:2,per_job=1,time=30")
    del given["workers"]  # auto: none of the command's own
    program = start("search", **given)
    wait_until(lambda: len(at_work(servers, name)) == 2, program)
    assert {trial.user_attrs["worker"]["pid"] for trial in at_work(servers, name)}.isdisjoint({str(program.pid)})
    lost = {trial.number for trial in at_work(servers, name)}

    slurm.ask("sbatch", "--partition=urgent", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 5")
    wait_until(lambda: len(running(slurm)) == 1, program)  # Slurm has put the other one back
    wait_until(lambda: len(at_work(servers, name)) <= 1, program)
    (warned,) = running(slurm)
    slurm.ask("scancel", "--batch", "--signal=USR1", warned)
    wait_until(lambda: warned not in running(slurm), program)
    wait_until(lambda: len(jobs(slurm)) == 2 and not at_work(servers, name), program)
    tries = [trial for trial in trials_of(servers, name) if trial.number in lost]
    assert {trial.state for trial in tries} == {TrialState.FAIL}
    again = [trial for trial in trials_of(servers, name) if set(tries_before(trial)) & lost]
    assert len(again) == 2 and all(trial.user_attrs[UNCOUNTED] == 1 for trial in again)

    for id in jobs(slurm):  # Slurm lets a requeued job wait for two minutes
        slurm.ask("scontrol", "update", f"JobId={id}", "StartTime=now")
    message = said(program)
    assert program.returncode == 0, message
    check_whole(client, servers, name, 3)
    wait_until(lambda: not jobs(slurm))
    assert {run.info.status for run in runs_of(client, name)} == {"FINISHED", "KILLED"}


@pytest.mark.matrix
def test_scancel_and_cancel_leave_nothing_running(slurm, servers, name, start):
    client = MlflowClient()
    given = asked(name, servers, 2_000, trials=4)
    program = start("search", **given)
    wait_until(lambda: at_work(servers, name), program)
    launched = start("launch", study=name, storage=servers, on="slurm", workers=2, options="per_job=1,time=30")
    output = launched.communicate(timeout=100)[0]
    assert launched.returncode == 0
    id = re.search(r"2 workers on slurm: (\S+)", output)[1]
    wait_until(lambda: len(at_work(servers, name)) == 3, program)
    status = start("status", study=name, storage=servers).communicate(timeout=100)[0]
    assert re.search(rf"^{id} +slurm +2 +2 running", status, re.M)

    slurm.ask("scancel", f"--name={id}")
    wait_until(lambda: not jobs(slurm), program)
    assert len(at_work(servers, name)) == 1
    states = [trial.state for trial in trials_of(servers, name)]
    assert states.count(TrialState.RUNNING) == 1 and states.count(TrialState.WAITING) == 3

    start("launch", study=name, storage=servers, on="slurm", workers=1).communicate(timeout=100)
    wait_until(lambda: len(at_work(servers, name)) == 2, program)
    cancelled = start("cancel", study=name, storage=servers)
    output, errors = cancelled.communicate(timeout=200)
    assert (cancelled.returncode, errors) == (0, "")
    assert "0 trials finished; 2 were running and are requeued" in output
    assert "cancelled from" in said(program) and program.returncode == 130
    assert not jobs(slurm) and not done(servers, name)
    assert {trial.state for trial in trials_of(servers, name)} == {TrialState.FAIL, TrialState.WAITING}
    assert not client.search_runs(["0"], "attributes.status = 'RUNNING'")
    logs = [path.read_text() for path in Path("launches").glob("*/*.log")]
    assert logs and not any("Traceback" in log for log in logs)
