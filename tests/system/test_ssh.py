"""A search with workers on two machines reached over SSH: real servers, whose hosts have processes of their own."""

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT
from factories import clusters
from factories.programs import asked, at_work, trials_of, wait_until
from mlflow import MlflowClient
from optuna.trial import TrialState

pytestmark = [pytest.mark.slow, pytest.mark.matrix, pytest.mark.usefixtures("connections_closed")]


@pytest.fixture
def hosts(tmp_path_factory, environment):
    """Two hosts. Those that have an environment have addresses of their own; uv needs to reach a package index."""
    if reason := clusters.ssh_missing():
        pytest.skip(reason)
    path = f"{Path(sys.prefix)}/bin:/usr/bin:/bin"  # where uv is
    network = clusters.Loopback() if environment == "made by uv" else clusters.Subnet()
    folder = tmp_path_factory.mktemp("ssh")
    with closing(network), clusters.SshHosts(folder, ("hosta", "hostb"), path, network) as there:
        yield there


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone of the project with what is not committed yet: what a commit has is brought to the hosts."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    for name in ("study", "entrypoints"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    git = ["git", "-C", str(folder), "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "As it is"], check=True)
    return folder


@pytest.mark.parametrize("environment", ["made by uv", "there already"])
def test_workers_on_two_hosts_train_and_are_cancelled(
    hosts, clone, environment, postgres, mlflow_server, name, start, monkeypatch
):
    monkeypatch.chdir(clone)
    for server in (postgres, mlflow_server):
        hosts.network.open(server.port)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url.replace("127.0.0.1", hosts.network.address))
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    storage = postgres.new_database().replace(f":{postgres.password}@127.0.0.1", f"@{hosts.network.address}")
    own = f"hosts=hosta,hostb,config={hosts.config},folder={hosts.home}/keras-study"
    if environment == "there already":
        own += f",python={sys.executable}"

    def call(entry_point: str, **given) -> str:
        program = start(entry_point, environment={"PYTHONPATH": str(clone)}, study=name, storage=storage, **given)
        output, errors = program.communicate(timeout=500)
        assert (program.returncode, errors) == (0, "")
        return output

    program = start("search", environment={"PYTHONPATH": str(clone)}, **asked(name, storage, 3_000, trials=6))
    wait_until(lambda: at_work(storage, name), program)
    call("launch", on="ssh", workers=2, options=own)
    wait_until(lambda: {"hosta", "hostb"} <= hosts_at_work(storage, name), program)
    status = call("status")
    assert "2 running" in status and "hosta:" in status and "hostb:" in status
    assert "3 were running and are requeued" in call("cancel")
    program.wait(60)
    assert {trial.state for trial in trials_of(storage, name)} <= {TrialState.WAITING, TrialState.FAIL}
    assert not MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'")


def hosts_at_work(storage: str, name: str) -> set[str]:
    """Return the hosts on which a trial has trained an epoch; of a process elsewhere nobody here knows if it lives."""
    return {trial.user_attrs["worker"]["host"] for trial in at_work(storage, name)}
