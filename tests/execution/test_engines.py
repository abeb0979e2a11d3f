"""What engines are asked for, and what they render: job scripts and manifests."""

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT

from study.base.errors import ConfigError, WorkerError
from study.base.paths import RUN_VARIABLE, STORE_VARIABLE
from study.execution.engines import engine, kubernetes, launches, local, ray, slurm, ssh
from study.execution.engines.engine import LAUNCH_VARIABLE, NAMES, Launch, Request, parse_options, parse_request
from study.execution.queue import create_queue
from study.execution.storage import DEFAULT_STORAGE

LAUNCH = Launch(
    id="study-night-0a1b2c3d", engine="slurm", workers=20, options={}, study="the night's", data=None,
    storage="postgresql+psycopg://study@db.example/study", tracking_uri="http://mlflow.example:5000",
    folder="/shared/launches/study-night-0a1b2c3d", host="here", machine="here 1",
)  # fmt: skip


def test_every_engine_has_a_name_and_a_module():
    assert tuple(launches.ENGINES) == NAMES
    told = [launches.logs(replace(LAUNCH, engine=name)) for name in NAMES]
    assert told[:2] == [f"in {LAUNCH.folder}"] * 2 and all(LAUNCH.id in text for text in told[2:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local:4", Request("local", 4, {})),
        ("slurm:64,partition=gpu,time=08:00:00", Request("slurm", 64, {"partition": "gpu", "time": "08:00:00"})),
        ("ssh:8,hosts=a,b,folder=there", Request("ssh", 8, {"hosts": "a,b", "folder": "there"})),
    ],
)
def test_a_request_in_one_word(text, expected):
    assert parse_request(text, "launch") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slrum:4", "launch cannot be 'slrum:4'; expected ENGINE:WORKERS, such as local:4, with an engine of local, "),
        ("slrum:4", "Did you mean slurm?"),
        ("local", "launch cannot be 'local'"),
        ("local:0", "launch cannot be 'local:0'"),
        ("local:4,fast", "launch has 'fast'; expected option=value,option=value."),
    ],
)
def test_a_request_that_cannot_be_says_what_can(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_request(text, "launch")


def test_options_may_have_commas_in_their_values():
    assert parse_options("nodelist=n1,n2,time=1:00", "options") == {"nodelist": "n1,n2", "time": "1:00"}


@pytest.mark.parametrize(
    ("request_", "store", "storage", "message"),
    [
        (
            Request("local", 1, {}),
            "sqlite:///m.db",
            "postgresql+psycopg://me:secret@db/x",
            "address has a password. Lea",
        ),
        (Request("local", 1, {}), "postgresql://me:secret@db/m", "auto", "the tracking store's address has a password"),
        (Request("slurm", 1, {}), "http://m:5000", "sqlite:///optuna.db", "the storage is a SQLite file, which serves"),
        (Request("ssh", 1, {}), "sqlite:///m.db", "postgresql+psycopg://db/x", "the tracking store is a SQLite file"),
        (Request("local", 1, {"fast": "yes"}), "sqlite:///m.db", "auto", "local has no option 'fast'. It takes none."),
    ],
)
def test_what_cannot_work_is_refused_before_anything_begins(request_, store, storage, message, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with pytest.raises(ConfigError, match=re.escape(message)) as raised:
        launches.check(request_, storage)
    assert "secret" not in str(raised.value)


def test_names_suit_every_engine():
    for study in ("night", "ablation-batch_size-33d2f98b", "Größe/ä b" * 30, "…"):
        id = engine.new_id(study)
        assert re.fullmatch(r"study-[a-z0-9]([a-z0-9-]*[a-z0-9])?", id) and len(id) <= 63
    assert engine.new_id("night") != engine.new_id("night")


def test_a_folder_in_which_nothing_can_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(STORE_VARIABLE, f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / engine.FOLDER).write_text("a file, in the way")
    with pytest.raises(WorkerError, match=rf"{tmp_path}: nothing can be written here \("):
        engine.new_folder("study-x")


def test_a_worker_program_is_not_told_of_the_run_of_mlflow_run(monkeypatch):
    monkeypatch.setenv(RUN_VARIABLE, "0" * 32)
    environment = LAUNCH.environment()
    assert RUN_VARIABLE not in environment
    assert environment[LAUNCH_VARIABLE] == LAUNCH.id and environment["MLFLOW_TRACKING_URI"] == LAUNCH.tracking_uri


def test_a_command_that_fails_or_is_missing_says_so():
    with pytest.raises(WorkerError, match=r"slurm: sh failed: it is broken\."):
        engine.call(["sh", "-c", "echo it is broken >&2; exit 3"], "slurm")
    with pytest.raises(WorkerError, match="nowhere-to-be-found does not work"):
        engine.call(["nowhere-to-be-found"], "slurm")


# --- local ------------------------------------------------------------------------------------------


def test_a_launch_of_another_machine_is_not_judged_here():
    assert local.jobs(replace(LAUNCH, engine="local")) is None


# --- slurm ------------------------------------------------------------------------------------------


def rendered(**options: str) -> tuple[str, dict[str, str]]:
    script = slurm.script(replace(LAUNCH, options=options))
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    return script, dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.M))


def test_the_tasks_of_an_array_share_the_workers():
    script, flags = rendered(partition="gpu")
    assert flags["array"] == "0-2" and flags["cpus-per-task"] == "8" and flags["partition"] == "gpu"
    assert flags["signal"] == "B:USR1@90" and flags["time"] == "04:00:00" and "#SBATCH --requeue\n" in script
    assert '\nworkers=8\n[ "$SLURM_ARRAY_TASK_ID" != 2 ] || workers=4\n' in script
    assert rendered(per_job="20")[1]["array"] == "0-0" and rendered(per_job="64")[1]["cpus-per-task"] == "20"


def test_directives_with_blanks_and_percents_are_quoted():
    folder = "/home/me/my project/100%/launches"
    script = slurm.script(replace(LAUNCH, folder=folder, options={"comment": "it's mine #1"}))
    flags = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.M))
    assert shlex.split(flags["output"]) == ["/home/me/my project/100%%/launches/%a.log"]
    assert shlex.split(flags["comment"]) == ["it's mine #1"]


def test_a_job_script_runs_the_worker_with_the_studys_name_as_it_is(tmp_path):
    script, _ = rendered(per_job="1")
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nprintf "%s|" "$@" "$STUDY_LAUNCH" "$MLFLOW_TRACKING_URI" "${MLFLOW_RUN_ID-unset}"\n')
    program.chmod(0o755)
    script = script.replace(shlex.quote(sys.executable), str(program))
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "3", RUN_VARIABLE: "0" * 32}
    said = subprocess.run(["bash"], input=script, text=True, capture_output=True, env=environment).stdout.split("|")
    assert said[:4] == ["-m", "entrypoints.worker", "--study", "the night's"]
    assert said[6:] == ["--workers", "1", LAUNCH.id, LAUNCH.tracking_uri, "unset", ""]


@pytest.mark.parametrize(
    ("warned", "worker", "expected"),
    [("USR1", "exit 130", "130 requeued"), ("TERM", "exit 130", "130 "), ("USR1", "exit 0", "0 ")],
)
def test_a_warning_puts_the_task_back_and_an_end_does_not(tmp_path, warned, worker, expected):
    """The signal comes while the worker runs, which then puts its trials back, and ends as `worker` says."""
    script, _ = rendered(per_job="1")
    for name, text in {
        "python": f"trap '{worker}' TERM\nsleep 1\nkill -{warned} $PPID\nsleep 1; sleep 1; sleep 1; sleep 1\nexit 9\n",
        "scontrol": 'printf "%s" requeued\n',
        "sleep": "exec /bin/sleep 0.2\n",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)
    script = script.replace(shlex.quote(sys.executable), "python")
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "3", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    (tmp_path / "job.sh").write_text(script)
    done = subprocess.run(
        ["bash", str(tmp_path / "job.sh")], text=True, capture_output=True, env=environment, timeout=60
    )
    assert f"{done.returncode} {done.stdout}" == expected


@pytest.mark.parametrize("option", ["array=0-9", "per_job=0", "warning=soon", "a b=1", "wrap=rm"])
def test_sbatch_options_that_would_break_the_script_are_refused(option):
    with pytest.raises(ConfigError):
        slurm.check(parse_options(option, "options"))


# --- ssh --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"), [({}, "hosts are missing"), ({"hosts": "a,-oProxyCommand=x"}, "-oProxy")]
)
def test_hosts_have_to_be_hosts(options, message):
    with pytest.raises(ConfigError, match=message):
        ssh.check(options)


# --- ray --------------------------------------------------------------------------------------------


def test_the_actors_of_a_launch_share_the_workers():
    asked = ray.plan(replace(LAUNCH, options={"per_job": "8"}))
    assert asked["actors"] == {f"{LAUNCH.id}-0": 8, f"{LAUNCH.id}-1": 8, f"{LAUNCH.id}-2": 4}
    assert ray.plan(replace(LAUNCH, workers=2))["actors"] == {f"{LAUNCH.id}-0": 1, f"{LAUNCH.id}-1": 1}
    assert (asked["max_restarts"], asked["lifetime"]) == (-1, "detached")  # lost nodes are no failures


def test_pins_are_those_for_this_machine():
    pins = ray.pins("optuna==5.0.0\npywin32==312 ; sys_platform == 'win32'\nnumpy==2.4.6 ; python_version >= '3.11'\n")
    assert pins == {"optuna": "5.0.0", "numpy": "2.4.6"} or sys.platform == "win32"
    assert ray.pins((ROOT / "requirements.txt").read_text())["mlflow"] == "3.17.2"


@pytest.mark.parametrize(
    ("option", "expected"), [("fast=1", "no option"), ("per_job=0", "per_job"), ("environment=mine", "auto or pinned")]
)
def test_what_ray_cannot_be_asked_is_refused(option, expected):
    with pytest.raises(ConfigError, match=expected):
        ray.check(parse_options(option, "options"))


def test_without_ray_a_person_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(ray, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=re.escape("this environment has no Ray. Install the cluster's version")):
        ray.check({})


WORKER = """
import os, signal, sys, time
with open(sys.argv[1], "a") as log:
    log.write(f"{os.environ['STUDY_LAUNCH']} {os.environ['PYTHONPATH'].split(os.pathsep)[0] == os.getcwd()}\\n")
if "fails" in sys.argv:
    sys.exit(3)
time.sleep(60 if "waits" in sys.argv else 0)
"""


@pytest.mark.parametrize(("how", "times", "killed"), [("ends", 1, True), ("fails", 3, True), ("waits", 1, False)])
def test_an_actor_runs_its_program_again_where_it_fails_and_ends_itself(tmp_path, monkeypatch, how, times, killed):
    """A stand-in for Ray, which the default tests lack, says who the actor is, and hears that it ends itself."""
    ended, log = threading.Event(), tmp_path / "log"
    me = SimpleNamespace(current_actor="me")
    library = SimpleNamespace(get_runtime_context=lambda: me, kill=lambda who, no_restart: ended.set())
    monkeypatch.setitem(sys.modules, "ray", library)
    monkeypatch.setattr(ray, "FAILURE_SECONDS", 0)
    workers = ray.Workers(["python", "-c", WORKER, str(log), how], {LAUNCH_VARIABLE: "study-x"})
    if not killed:
        deadline = time.monotonic() + 30
        while not (log.exists() and log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        workers.end()
    assert ended.wait(30 if killed else 0.3) == killed
    assert log.read_text() == "study-x True\n" * times and workers.host() == engine.host()


NOISY = """
from types import SimpleNamespace
def init(**given):
    print("(raylet) a node has died")
util = SimpleNamespace(list_named_actors=lambda: [])
"""


def test_what_ray_prints_is_no_part_of_its_answer(tmp_path, monkeypatch):
    """Ray prints to the standard output when a node has died, whatever it is told; this stand-in always does."""
    (tmp_path / "ray.py").write_text(NOISY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ray.jobs(replace(LAUNCH, engine="ray")) == []


WITHOUT_PIP = """
class exceptions:
    class RuntimeEnvSetupError(Exception):
        pass
class Task:
    def options(self, runtime_env=None, **other):
        self.pinned = runtime_env
        return self
    def remote(self, pins):
        return self
def get(tasks):
    if tasks[0].pinned:
        raise exceptions.RuntimeEnvSetupError("Failed to set up.\\nTraceback\\n  python: No module named pip\\n")
    return [False]
init = lambda **given: None
nodes = lambda: [{"NodeID": "n1", "Alive": True}]
remote = lambda function: Task()
"""


def test_a_node_that_cannot_make_the_environment_says_why_before_there_are_actors(tmp_path, monkeypatch):
    library = tmp_path / "ray"
    (library / "util").mkdir(parents=True)
    (library / "__init__.py").write_text(WITHOUT_PIP)
    (library / "util" / "scheduling_strategies.py").write_text("NodeAffinitySchedulingStrategy = lambda *a, **b: None")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = "Ray failed: a node cannot make the environment; got python: No module named pip. Every node's own Python"
    with pytest.raises(WorkerError, match=re.escape(said)):
        ray.start(replace(LAUNCH, engine="ray", folder=str(tmp_path)))
    assert not (tmp_path / ray.PLAN).exists()


# --- kubernetes -------------------------------------------------------------------------------------


def manifest(**options: str) -> dict:
    text = yaml.safe_dump(kubernetes.manifest(replace(LAUNCH, options={"image": "registry.example/k:1", **options})))
    return yaml.safe_load(text)


def test_a_job_has_as_many_pods_as_the_workers_need_and_survives_evictions():
    job = manifest(per_job="8", memory="1500Mi")
    assert job["spec"]["parallelism"] == 4 and "completions" not in job["spec"]  # 20 workers
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"][-2:] == ["--workers", "5"] and container["command"][:2] == ["python", "-m"]
    assert container["resources"]["requests"] == {"cpu": "5", "memory": "7500Mi"}
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore" and rule["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # what a podFailurePolicy demands


@pytest.mark.parametrize("options", [{}, {"image": "x", "cpu": "one"}, {"image": "x", "fast": "1"}])
def test_a_job_without_an_image_or_with_odd_quantities_is_refused(options):
    with pytest.raises(ConfigError):
        kubernetes.check(options)


@pytest.mark.parametrize("version", ["1.29", "1.33"])
def test_the_manifest_is_valid_by_the_schema_of_kubernetes(version):
    validator = pytest.importorskip("kubernetes_validate", reason="needs the package kubernetes-validate (22 MB)")
    validator.validate(manifest(), version, strict=True)
    with pytest.raises(validator.ValidationError):
        validator.validate(manifest() | {"spec": {"paralelism": 1}}, version, strict=True)


def test_storage_auto_is_a_file_that_only_this_machine_has(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    with pytest.raises(ConfigError, match="the storage is a SQLite file"):
        launches.check(Request("kubernetes", 1, {"image": "x"}), DEFAULT_STORAGE)


def test_the_example_is_what_is_rendered():
    _, example = yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text())
    own = replace(
        LAUNCH, id="keras-study-workers", study="my-search", workers=8,
        options={"image": "registry.example/keras-study:1"}, storage="postgresql+psycopg://study@db.example:5432/study",
    )  # fmt: skip
    assert example == kubernetes.manifest(own)


# --- kubernetes and ssh -----------------------------------------------------------------------------


def test_all_pods_have_as_many_workers_and_there_are_as_many_as_were_asked_for():
    options = {"image": "x", "per_job": "4"}
    for workers, pods, each in ((10, 5, "2"), (8, 2, "4"), (3, 1, "3"), (7, 7, "1")):
        job = kubernetes.manifest(replace(LAUNCH, workers=workers, options=options))["spec"]
        assert job["parallelism"] == pods
        assert job["template"]["spec"]["containers"][0]["command"][-2:] == ["--workers", each]


def test_a_launch_on_a_host_that_does_not_answer_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(ssh, "_commit", lambda: "0" * 40)
    monkeypatch.setenv(STORE_VARIABLE, "http://m.example:5000")
    queue, _ = create_queue(f"sqlite:///{tmp_path}/optuna.db", "night")
    monkeypatch.setattr(launches, "check", lambda request, storage: None)
    monkeypatch.setattr(engine, "new_folder", lambda id: str(tmp_path))
    with pytest.raises(engine.NotStarted, match="no-such-host"):
        launches.start(queue, "sqlite:///x.db", Request("ssh", 2, {"hosts": "no-such-host.invalid"}))
    assert list(launches.remembered(queue)) == []


def test_a_host_that_is_named_twice_gets_its_share_once():
    assert ssh._hosts({"hosts": "a,b,a"}) == ["a", "b"]
