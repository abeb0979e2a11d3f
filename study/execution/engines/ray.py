"""The engine ``ray``: long-lived actors in a Ray cluster, each of which runs a worker program.

An actor waits for free cores, also those of nodes that are still to come, and begins anew elsewhere when it loses its
node. Ray is talked to by this module as a program of its own: a driver has threads and signal handlers, which a command
that starts workers itself cannot have.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from study.base.errors import ConfigError, StudyError, WorkerError, first_line
from study.base.paths import STORE_VARIABLE
from study.execution.engines.engine import (
    LAUNCH_VARIABLE,
    PROJECT,
    Job,
    Launch,
    call,
    check_known,
    check_number,
    passed_on,
)  # fmt: skip

# `address` is the cluster's, as Ray takes it: auto on one of its nodes, ray://HOST:10001 elsewhere; `per_job` is how
# many workers an actor has, each with a core; with `environment=pinned` Ray makes the project's environment on each
# node, and with auto it does so unless every node's own has the same packages.
DEFAULTS: Mapping[str, str] = {"address": "auto", "per_job": "1", "environment": "auto"}
ENVIRONMENTS = ("auto", "pinned")
LOGS = "those of the actors {id}-…, in Ray's folder on each node"
IS_REMOTE = True
PLAN = "actors.json"
CODE = ("study", "entrypoints")  # what the nodes get of the project
MOST_FAILURES = 3  # of a worker program, in a row, before its actor gives up
FAILURE_SECONDS = 10  # between two of them
PATIENCE_SECONDS = 40  # more than a worker program needs to put its trials back
ANSWER_SECONDS = 3  # in which an actor that runs says where
START_SECONDS = 1_800  # for half a minute's work on a usual machine, of 2.7 GB
COMMAND_SECONDS = 120


def check(options: Mapping[str, str]) -> None:
    """Raise ConfigError for odd options, and where this environment has no Ray."""
    check_known(options, DEFAULTS, "ray")
    check_number("per_job", options)
    environment = options.get("environment", "auto")
    if environment not in ENVIRONMENTS:
        raise ConfigError(f"environment cannot be {environment!r}", where="options", expected="auto or pinned")
    if find_spec("ray") is None:
        hint = "Install the cluster's version beside the project's packages: pip install 'ray[default]'."
        raise ConfigError("this environment has no Ray", where="ray", hint=hint)


def start(launch: Launch) -> None:
    """Bring the project's code to the cluster, and make the actors; they go on when this process ends."""
    for name in CODE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, Path(launch.folder, "code", name), ignore=ignored)
    _ask(launch, "start", START_SECONDS)


def jobs(launch: Launch) -> list[Job] | None:
    """Return the actors that run, or wait for cores."""
    return [Job(**job) for job in json.loads(_ask(launch, "jobs"))]


def cancel(launch: Launch) -> None:
    """End the actors: their worker programs put their trials back, and what does not end in time is killed."""
    _ask(launch, "cancel")


def plan(launch: Launch) -> dict[str, Any]:
    """Return what each actor is asked for, and how many workers it has, by its name."""
    each = min(int(launch.options.get("per_job", "1")), launch.workers)
    counts = {f"{launch.id}-{n}": min(each, launch.workers - n * each) for n in range(-(-launch.workers // each))}
    return {"actors": counts, "max_restarts": -1, "lifetime": "detached"}


def pins(text: str) -> dict[str, str]:
    """Return the versions that a file of pins demands on a machine like this one, by package."""
    from packaging.requirements import Requirement  # the nodes, which import this module too, may not have it

    needed = (Requirement(line) for line in text.splitlines())
    return {each.name: str(each.specifier).removeprefix("==") for each in needed
            if each.marker is None or each.marker.evaluate()}  # fmt: skip


def _ask(launch: Launch, what: str, seconds: float = COMMAND_SECONDS) -> str:
    """Run this module as a program, which is given the launch, and the passwords, through its standard input."""
    given = json.dumps({"launch": asdict(launch), "environment": passed_on()})
    words = [sys.executable, "-m", __name__, what]
    return call(words, "ray", given, seconds, name="Ray", environment=launch.environment())


# --- in the cluster ---------------------------------------------------------------------------------


class Workers:
    """An actor that runs a worker program, again where it fails, until its study has nothing left for it to do.

    Whether its node or its process dies, Ray makes it anew, and it begins again.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]):
        import ray

        here = os.getcwd()  # the project's code, as Ray has unpacked it
        self._words = [sys.executable, *words[1:]]
        path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        self._environment = os.environ | dict(environment) | {"PYTHONPATH": path}
        self._me = ray.get_runtime_context().current_actor
        self._program: subprocess.Popen[bytes] | None = None
        self._lock, self._ending = threading.Lock(), False
        threading.Thread(target=self._work, daemon=True).start()

    def host(self) -> str:
        """Return the name of the machine that it runs on."""
        return socket.gethostname()

    def end(self) -> None:
        """End the program, which puts its trials back; the actor stays, so that none that waits gets its cores."""
        with self._lock:
            self._ending = True
            if self._program:
                self._program.terminate()
        if self._program:
            self._program.wait()

    def _work(self) -> None:
        import ray

        for number in range(MOST_FAILURES):
            if number:
                time.sleep(FAILURE_SECONDS)
            with self._lock:
                if self._ending:
                    return
                self._program = subprocess.Popen(self._words, env=self._environment, stdin=subprocess.DEVNULL)
            if self._program.wait() == 0:
                break
        if not self._ending:
            ray.kill(self._me, no_restart=True)


def _has(pinned: Mapping[str, str]) -> bool:
    """Return whether this Python has these versions of these packages."""
    try:
        return all(version(name) == wanted for name, wanted in pinned.items())
    except PackageNotFoundError:
        return False


# --- as a program -----------------------------------------------------------------------------------


def main(what: str) -> None:
    """Do with Ray what is asked for: ``start``, ``jobs`` or ``cancel`` the launch on the standard input."""
    given = json.load(sys.stdin)
    launch = Launch(**given["launch"])
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints what it has to say of dead nodes to the standard output
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # Ray would run the nodes' Python as `uv run` runs this one
    try:
        match what:
            case "start":
                _start(launch, given["environment"])
            case "jobs":
                json.dump([asdict(job) for job in _jobs(launch)], answer)
                answer.flush()
            case "cancel":
                _cancel(launch)
    except StudyError as failure:
        sys.exit(str(failure))
    except Exception as failure:
        sys.exit(f"{type(failure).__name__}: {first_line(failure)}")


def _connect(launch: Launch, **runtime_env: Any) -> Any:
    """Connect to the cluster and return Ray; the launch's ID is the namespace of all that it has there."""
    import ray

    address = launch.options.get("address", DEFAULTS["address"])
    ray.init(address=address, namespace=launch.id, log_to_driver=False, logging_level="ERROR", runtime_env=runtime_env)
    return ray


def _start(launch: Launch, environment: Mapping[str, str]) -> None:
    ray = _connect(launch, working_dir=str(Path(launch.folder, "code")))
    own = {LAUNCH_VARIABLE: launch.id, STORE_VARIABLE: launch.tracking_uri}
    asked = plan(launch)
    options = {name: asked[name] for name in ("max_restarts", "lifetime")}
    if launch.options.get("environment") == "pinned" or not _nodes_have_the_pins(ray):
        options["runtime_env"] = _made_environment(ray)
    Path(launch.folder, PLAN).write_text(json.dumps(asked | options, indent=2))  # passwords are not in it
    actor = ray.remote(Workers)
    for name, count in asked["actors"].items():
        words = [*launch.words("python"), "--workers", str(count)]
        actor.options(name=name, num_cpus=count, **options).remote(words, {**environment, **own})


def _made_environment(ray: Any) -> dict[str, Any]:
    """Let every node that is there make the project's environment, and return what to ask of those that join.

    Actors would not say why theirs cannot be made: they would only be gone. Raises WorkerError with the reason.
    """
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    made = {"packages": lines, "uv_pip_install_options": []}  # with uv's cache, which Ray leaves out
    environment = {"uv": made, "config": {"setup_timeout_seconds": START_SECONDS}}
    try:
        _nodes_have_the_pins(ray, runtime_env=environment)
    except ray.exceptions.RuntimeEnvSetupError as failure:
        hint = "Every node's own Python needs pip, or uv as a package, with which Ray makes it."
        reason = str(failure).strip().splitlines()[-1].strip()
        raise WorkerError("a node cannot make the environment", got=reason, hint=hint) from None
    return environment


def _nodes_have_the_pins(ray: Any, **options: Any) -> bool:
    """Return whether the Python of Ray, or of these options, has the project's packages on every node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    pinned = pins((PROJECT / "requirements.txt").read_text())
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    there = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    looked = ray.remote(_has)
    asked = [looked.options(num_cpus=0, scheduling_strategy=each, **options).remote(pinned) for each in there]
    return all(ray.get(asked))


def _actors(ray: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the connected launch's actors by name, and the hosts of those that run."""
    actors = {}
    for name in ray.util.list_named_actors():
        try:
            actors[name] = ray.get_actor(name)
        except ValueError:  # it has just ended
            continue
    asked = {actor.host.remote(): name for name, actor in actors.items()}
    answered = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)[0] if asked else []
    hosts = {}
    for answer in answered:
        try:
            hosts[asked[answer]] = ray.get(answer)
        except ray.exceptions.RayActorError:  # it has ended, or begins anew
            continue
    return actors, hosts


def _jobs(launch: Launch) -> list[Job]:
    actors, hosts = _actors(_connect(launch))
    return [
        Job(name, "running", hosts[name]) if name in hosts else Job(name, "waiting", reason="no free cores, or begins")
        for name in sorted(actors)
    ]


def _cancel(launch: Launch) -> None:
    ray = _connect(launch)
    actors, hosts = _actors(ray)
    for name in actors.keys() - hosts.keys():  # first: none of these is to get the cores of those that end
        ray.kill(actors[name], no_restart=True)
    ending = [actors[name].end.remote() for name in hosts]
    if ending:
        ray.wait(ending, num_returns=len(ending), timeout=PATIENCE_SECONDS)
    for name in hosts:
        ray.kill(actors[name], no_restart=True)


if __name__ == "__main__":
    from study.execution.engines import ray as importable  # so that the nodes find its classes by their module

    importable.main(*sys.argv[1:])
