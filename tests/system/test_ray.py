"""A search whose workers a real Ray cluster runs: nodes join, one is killed in the middle, and cancel ends all."""

import re

import pytest
from factories import clusters
from factories.programs import asked, at_work, check_whole, done, said, trials_of, wait_until
from mlflow import MlflowClient
from optuna.trial import TrialState

from study.execution.attributes import tries_before
from study.execution.engines import launches
from study.execution.queue import load_queue

pytestmark = [pytest.mark.slow, pytest.mark.matrix, pytest.mark.usefixtures("connections_closed")]


@pytest.fixture(scope="module")
def cluster():
    if reason := clusters.ray_missing():
        pytest.skip(reason)
    with clusters.RayCluster(3) as cluster:
        yield cluster


@pytest.fixture
def servers(postgres, mlflow_server, tmp_path, monkeypatch) -> str:
    """Let programs use the servers, from an empty folder; return the storage's address. The nodes know none of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    return postgres.new_database().replace(f":{postgres.password}@", "@")


def states(servers, name) -> list[str]:
    """Return what the actors of a study's launches do, as its engine has them now."""
    return sorted(
        job.state for launch in launches.remembered(load_queue(servers, name)) for job in launches.jobs(launch)
    )


def hosts(servers, name) -> set[str]:
    """Return the nodes that run a trial now, as far as anybody knows."""
    running = (trial for trial in trials_of(servers, name) if trial.state == TrialState.RUNNING)
    return {trial.user_attrs["worker"]["host"] for trial in running if trial.intermediate_values}


def test_nodes_that_leave_lose_no_trial_and_nodes_that_join_get_workers(cluster, servers, name, start):
    given = asked(name, servers, 1_000, trials=5, launch=f"ray:3,address={cluster.address}")
    del given["workers"]  # auto: none of the command's own
    program = start("search", **given)
    wait_until(lambda: hosts(servers, name) == {"n1", "n2"}, program)
    assert states(servers, name) == ["running", "running", "waiting"]

    cluster.kill(1)
    lost = {trial.number for trial in trials_of(servers, name)
            if trial.state == TrialState.RUNNING and trial.user_attrs["worker"]["host"] == "n1"}  # fmt: skip
    joined = cluster.add()
    wait_until(
        lambda: lost <= {number for trial in trials_of(servers, name) for number in tries_before(trial)}, program
    )
    wait_until(lambda: joined in hosts(servers, name), program)

    message = said(program)
    assert program.returncode == 0, message
    check_whole(MlflowClient(), servers, name, 5)
    assert len(lost) == 1 and trials_of(servers, name)[min(lost)].state == TrialState.FAIL
    assert not list(launches.remembered(load_queue(servers, name)))


def test_cancel_from_outside_the_cluster_leaves_nothing_running(cluster, servers, name, start):
    program = start("search", **asked(name, servers, 20_000, trials=4))
    wait_until(lambda: at_work(servers, name), program)
    launched = start("launch", study=name, storage=servers, on="ray", workers=1, options=f"address={cluster.client}")
    output, errors = launched.communicate(timeout=200)
    assert (launched.returncode, errors) == (0, "")
    id = re.search(r"1 worker on ray: (\S+)", output)[1]
    wait_until(lambda: len(at_work(servers, name)) == 2, program)
    status = start("status", study=name, storage=servers).communicate(timeout=100)[0]
    assert re.search(rf"^{id} +ray +1 +1 running", status, re.M)
    (launch,) = launches.remembered(load_queue(servers, name))

    cancelled = start("cancel", study=name, storage=servers)
    output, errors = cancelled.communicate(timeout=200)
    assert (cancelled.returncode, errors) == (0, "")
    assert "cancelled from" in said(program) and program.returncode == 130
    assert launches.jobs(launch) == [] and not done(servers, name)
    assert {trial.state for trial in trials_of(servers, name)} == {TrialState.FAIL, TrialState.WAITING}
    assert not MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'")
