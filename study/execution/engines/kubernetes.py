"""The engine ``kubernetes``: a Job whose pods each run workers, from an image of the project (deploy/Dockerfile)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.base import yaml_file
from study.base.errors import ConfigError, shown
from study.base.paths import STORE_VARIABLE
from study.execution.engines.engine import LAUNCH_VARIABLE, Job, Launch, call, check_known, check_number, check_program

# `secret` is the Secret that has PostgreSQL's password as `password`, and may have MLflow's as `mlflow-password` with
# `mlflow-user`; `per_job` is how many workers a pod has, each with `cpu` and `memory`.
DEFAULTS: Mapping[str, str] = {
    "image": "", "namespace": "", "secret": "keras-study", "cpu": "1", "memory": "2Gi", "per_job": "1", "context": "",
}  # fmt: skip
LOGS = "what `kubectl logs --selector study-launch={id}` prints"
IS_REMOTE = True
MANIFEST = "job.yaml"
GRACE_SECONDS = 45  # more than a worker needs to put its trial back
_SECRETS = {"PGPASSWORD": "password", "MLFLOW_TRACKING_USERNAME": "mlflow-user",
            "MLFLOW_TRACKING_PASSWORD": "mlflow-password"}  # fmt: skip


def check(options: Mapping[str, str]) -> None:
    """Raise ConfigError without an image or kubectl."""
    check_known(options, DEFAULTS, "kubernetes")
    if not options.get("image"):
        hint = "Build deploy/Dockerfile, push it, and name it: options=image=registry.example/keras-study:1."
        raise ConfigError("image is missing", where="options", hint=hint)
    check_number("per_job", options)
    for name in ("cpu", "memory"):
        _times(options.get(name, DEFAULTS[name]), 1)
    check_program("kubectl", "kubernetes")


def manifest(launch: Launch) -> dict[str, Any]:
    """Return the Job. It has no `completions`: pods end when nothing is left to do, and those that end well stay away.

    A pod that fails or is evicted is replaced; an eviction (a node is drained, spot machines go) is not a failure.
    """
    options = {**DEFAULTS, **launch.options}
    most = min(int(options["per_job"]), launch.workers)
    each = next(size for size in range(most, 0, -1) if launch.workers % size == 0)  # all pods have as many
    resources = {"cpu": _times(options["cpu"], each), "memory": _times(options["memory"], each)}
    labels = {"app": "keras-study", "study-launch": launch.id}
    container = {
        "name": "worker",
        "image": options["image"],
        "command": [*launch.words("python"), "--workers", str(each)],
        "env": [
            {"name": LAUNCH_VARIABLE, "value": launch.id},
            {"name": STORE_VARIABLE, "value": launch.tracking_uri},
            *(
                {"name": name, "valueFrom": {"secretKeyRef": {"name": options["secret"], "key": key, "optional": True}}}
                for name, key in _SECRETS.items()
            ),
        ],
        "resources": {"requests": resources, "limits": {"memory": resources["memory"]}},
    }
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": GRACE_SECONDS, "containers": [container]}
    evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": launch.id, "labels": labels},
        "spec": {
            "parallelism": -(-launch.workers // each),
            "backoffLimit": 20,
            "ttlSecondsAfterFinished": 86_400,
            "podFailurePolicy": {"rules": [evicted]},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def start(launch: Launch) -> None:
    """Write the Job into the launch's folder, and apply it."""
    path = Path(launch.folder, MANIFEST)
    path.write_text(yaml_file.write(manifest(launch)))
    call([*_kubectl(launch), "apply", "-f", str(path)], "kubernetes")


def jobs(launch: Launch) -> list[Job] | None:
    """Return the pods that wait or run; where there are none yet, or only failed ones, the Job itself waits."""
    words = ["get", "jobs,pods", "--selector", f"study-launch={launch.id}", "--output", "json"]
    items = json.loads(call([*_kubectl(launch), *words], "kubernetes"))["items"]
    pods = [found for item in items if item["kind"] == "Pod" and (found := _job(item))]
    going_on = [item for item in items if item["kind"] == "Job" and not item.get("status", {}).get("conditions")]
    return pods or [Job(launch.id, "waiting", reason="pods are to come") for _ in going_on]


def cancel(launch: Launch) -> None:
    """Delete the Job: its pods get SIGTERM, and are killed after GRACE_SECONDS."""
    words = ["delete", "job", launch.id, "--ignore-not-found", "--cascade=foreground", f"--timeout={GRACE_SECONDS}s"]
    call([*_kubectl(launch), *words], "kubernetes")


def _job(pod: Mapping[str, Any]) -> Job | None:
    status = pod["status"]
    if status["phase"] in ("Succeeded", "Failed"):
        return None
    if status["phase"] != "Pending":
        return Job(pod["metadata"]["name"], "running", pod["spec"].get("nodeName", ""))
    states = [each["state"].get("waiting", {}) for each in status.get("containerStatuses", ())]
    states += [each for each in status.get("conditions", ()) if each["status"] == "False"]  # not placed yet
    return Job(
        pod["metadata"]["name"], "waiting", reason=next((each["reason"] for each in states if "reason" in each), "")
    )


def _kubectl(launch: Launch) -> list[str]:
    words = ["kubectl"]
    for option in ("context", "namespace"):
        if value := launch.options.get(option):
            words.append(f"--{option}={value}")
    return words


def _times(quantity: str, number: int) -> str:
    """Return a quantity such as ``2Gi``, so many times."""
    digits = quantity.rstrip("mkMGTPEi")
    if not digits.isdigit():
        raise ConfigError(f"cannot be {shown(quantity)}", where="cpu or memory", expected="such as 1, 500m or 2Gi")
    return f"{int(digits) * number}{quantity[len(digits) :]}"
