import contextlib
import getpass
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from conftest import ROOT

from study.base import processes
from study.execution import recovery
from study.tracking import records, runs
from study.tracking.runs import open_study_run
from study.tracking.store import connect

ME = processes.this_process()


def test_this_process_lives():
    assert not processes.is_gone(processes.this_process())
    assert processes.this_process()["pid"] == str(os.getpid())


def test_a_process_that_has_ended_is_gone():
    told = subprocess.check_output(
        [sys.executable, "-c", "import json; from study.base.processes import *; print(json.dumps(this_process()))"],
        text=True,
        cwd=ROOT,
    )
    assert processes.is_gone(json.loads(told))


@pytest.mark.parametrize("change, gone", [
    ({"process_started": "1.00"}, True),  # its pid has gone to another
    ({"machine": "elsewhere", "process_started": "1.00"}, False),  # which cannot be seen from here
    ({"pid": "not a number"}, False),
])  # fmt: skip
def test_a_process_is_told_from_others(change, gone):
    assert processes.is_gone(processes.this_process() | change) == gone


def test_a_clock_that_is_set_makes_nobody_another_process_or_this_another_machine(monkeypatch):
    """Linux derives the time of its start, and of each process's, from the clock as it is now."""
    began = psutil.Process().create_time()
    booted = psutil.boot_time() + 3_600
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted)
    assert psutil.Process().create_time() == began + 3_600
    assert processes.this_process() == ME and not processes.is_gone(ME)
    assert processes.is_gone(ME | {"pid": str(2**22 - 1)})


@pytest.fixture
def in_project(monkeypatch, tmp_path):
    """A private folder of the test's own, in which `mlflow run` has made the run abc."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("MLFLOW_RUN_ID", "abc")
    return tmp_path


def test_a_claim_is_there_for_others_to_read_and_old_ones_go(in_project):
    assert processes.claimant("abc") is None
    processes.claim_run()
    assert processes.claimant("abc") == processes.this_process()
    (claim,) = in_project.rglob("abc")
    os.utime(claim.rename(claim.with_name("old")), (0, 0))
    processes.claim_run()
    assert [path.name for path in claim.parent.iterdir()] == ["abc"]


def test_no_claim_leaves_its_folder(in_project, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "../../abc")
    processes.claim_run()
    assert processes.claimant("../../abc") is None and not list(in_project.rglob("abc"))


def test_a_program_claims_its_run_before_it_imports_mlflow(in_project):
    words = "import sys; sys.argv[0] = '-m'; import entrypoints; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True, cwd=ROOT, env=os.environ | {"TMPDIR": str(in_project)})
    assert processes.is_gone(processes.claimant("abc"))


@contextlib.contextmanager
def waiting(*words: str, **environment: str) -> Iterator[psutil.Process]:
    """A process with these words on its command line; it has begun when the block does, and ends with it."""
    command = [sys.executable, "-c", "print(flush=True); input()", *words]
    program = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    with program:
        assert program.stdout and program.stdout.readline()
        yield psutil.Process(program.pid)


def test_who_may_begin_a_run_is_left_to_do_so(monkeypatch):
    with waiting(MLFLOW_RUN_ID="abc") as program:
        monkeypatch.setattr(psutil, "process_iter", lambda: [program])  # others may be at work on this machine
        assert processes.may_begin("abc", 0.0) and not processes.may_begin("other", 0.0)
    assert not processes.may_begin("abc", 0.0)
    with waiting("/usr/bin/mlflow", "run", ".") as program:
        made = program.create_time()
        assert processes.may_begin("abc", made + 5) and not processes.may_begin("abc", made - 5)


def test_runs_of_mlflow_run_that_nobody_began_are_ended(store, in_project, monkeypatch):
    monkeypatch.delenv("MLFLOW_RUN_ID")
    monkeypatch.setattr(processes, "may_begin", lambda run_id, made: run_id == made_runs["alive"])
    client, now = connect(), int(1000 * time.time())
    made = {"mlflow.project.entryPoint": "ablation", "mlflow.source.name": str(ROOT), "mlflow.user": getpass.getuser()}
    told = {
        "lost": made,
        "alive": made,
        "young": made,
        "claimed": made,
        "of another project": made | {"mlflow.source.name": "/elsewhere"},
        "of another person": made | {"mlflow.user": "somebody"},
        "of a script": {},
    }
    made_runs = {
        name: client.create_run("0", now if name == "young" else now - 700_000, tags, run_name=name).info.run_id
        for name, tags in told.items()
    }
    monkeypatch.setenv("MLFLOW_RUN_ID", made_runs["claimed"])
    processes.claim_run()
    monkeypatch.delenv("MLFLOW_RUN_ID")
    assert recovery.end_lost_runs(client) == ["lost"]
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: "http://server")  # which has runs of other machines as well
    assert not any(map(runs.is_made_here, records.find_running(client)))
    for run_id in made_runs.values():
        client.set_terminated(run_id)


def test_a_claim_whose_process_has_died_ends_the_run(store, in_project, monkeypatch):
    run = connect().create_run("0", run_name="mine")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    monkeypatch.setattr(processes, "this_process", lambda: ME | {"process_started": "1.00"})
    processes.claim_run()
    assert recovery.end_lost_runs(connect()) == ["mine"]


def test_runs_of_lost_processes_are_ended_and_others_left_alone(store):
    client = connect()
    me = processes.this_process()
    told = {
        "mine": me,
        "lost": me | {"process_started": "1.00"},
        "elsewhere": me | {"machine": "elsewhere", "process_started": "1.00"},
        "untold": {},
    }
    there = {}
    for name, tags in told.items():
        there[name] = open_study_run(client, name)
        there[name].set_tags(tags)
    assert recovery.end_lost_runs(client) == ["lost"]
    states = {name: client.get_run(run.run_id).info.status for name, run in there.items()}
    assert states == {"mine": "RUNNING", "lost": "KILLED", "elsewhere": "RUNNING", "untold": "RUNNING"}


def test_a_process_is_too_large_when_it_has_grown(monkeypatch):
    sizes = iter([10**10, 10**10, 10**10 + 1])
    monkeypatch.setattr(processes, "MOST_GROWTH", 0)
    monkeypatch.setattr(processes, "resident_bytes", lambda: next(sizes))
    watch = processes.MemoryWatch()
    assert [watch.is_full(), watch.is_full()] == [False, True]
    assert processes.MOST_GROWTH == 0 == watch.most


def test_the_size_of_this_process_is_known():
    assert 10 * 2**20 < processes.resident_bytes() < 2**40


@pytest.mark.parametrize("limit, most, free", [("800", 800 // (2 * processes.cores()), 300), ("max", None, None)])
def test_a_containers_memory_is_a_limit(monkeypatch, tmp_path, limit, most, free):
    monkeypatch.setattr(processes, "GROUP", str(tmp_path))
    here = processes.MemoryWatch().most
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 7\n")
    assert processes.MemoryWatch().most == (here if most is None else most)
    available = processes.memory_available()
    assert available > 1_000 if free is None else available == free


IN_A_CONTAINER = """
import json, sys
from study.base.processes import is_gone, this_process
print(json.dumps([this_process(), is_gone(json.loads(sys.argv[1]))]))
"""


def test_containers_with_the_same_host_name_take_nobody_for_gone():
    """Each has pids of its own: the same ones, of other processes or of none."""
    words = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", IN_A_CONTAINER, json.dumps(ME)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"needs namespaces: {done.stderr.strip()}")
    there, taken_for_gone = json.loads(done.stdout)
    assert there["host"] == ME["host"] and there["pid"] == "1"
    assert not taken_for_gone and not processes.is_gone(there)  # though it has ended, and pid 1 is another here
