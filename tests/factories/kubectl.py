"""A stand-in for kubectl and a cluster: it runs the pods of Jobs as processes, replaces failed ones, and ends them.

    kubectl.py apply -f FILE | get jobs,pods --selector … --output json | delete job NAME … | (its own) control NAME

It knows of a Job what its manifest says, and gives a pod nothing of the environment but what that says, with the Secret
in the file `secret.json` of the folder STANDIN_FOLDER. A test evicts a pod by SIGTERM to its process.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

FOLDER = Path(os.environ.get("STANDIN_FOLDER", "."))
ROOT = Path(__file__).resolve().parent.parent.parent


def main(*words: str) -> None:
    verbs = [word for word in words if not word.startswith("-")]
    match verbs:
        case ["apply", path]:
            manifest = yaml.safe_load(Path(path).read_text())
            name = manifest["metadata"]["name"]
            (FOLDER / name).mkdir()
            (FOLDER / name / "job.json").write_text(json.dumps(manifest))
            control = [sys.executable, __file__, "control", name]
            with (FOLDER / name / "log").open("ab") as log:
                subprocess.Popen(control, start_new_session=True, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            print(f"job.batch/{name} created")
        case ["control", name]:
            Controller(FOLDER / name).run()
        case ["get", "jobs,pods", selector, "json"]:
            name = selector.removeprefix("study-launch=")
            state = FOLDER / name / "state.json"
            print(state.read_text() if state.exists() else json.dumps({"items": []}))
        case ["delete", "job", name]:
            delete(FOLDER / name)
        case _:
            sys.exit(f"error: unknown command {words}")


def delete(folder: Path) -> None:
    """Tell the Job's controller to end its pods, and wait until it has."""
    if (folder / "job.json").exists():
        (folder / "deleted").touch()
        while (folder / "job.json").exists():
            time.sleep(0.1)


class Controller:
    """Keeps as many pods of a Job running as its parallelism says, until one has ended well and none runs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.job = json.loads((folder / "job.json").read_text())
        self.pods: dict[str, subprocess.Popen] = {}
        self.number = 0

    def run(self) -> None:
        spec = self.job["spec"]
        while not (self.folder / "deleted").exists():
            running = [pod for pod in self.pods.values() if pod.poll() is None]
            done = any(pod.returncode == 0 for pod in self.pods.values())
            if done and not running:
                break
            for _ in range(0 if done else spec["parallelism"] - len(running)):
                self.start(spec["template"]["spec"]["containers"][0])
            self.write(ended=False)
            time.sleep(0.1)
        for pod in self.pods.values():
            pod.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + spec["template"]["spec"]["terminationGracePeriodSeconds"]
        while any(pod.poll() is None for pod in self.pods.values()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pod in self.pods.values():
            pod.kill()
        self.write(ended=True)
        (self.folder / "job.json").unlink()

    def start(self, container: dict) -> None:
        secret = json.loads((FOLDER / "secret.json").read_text())
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder)}
        for entry in container["env"]:
            if "value" in entry:
                environment[entry["name"]] = entry["value"]
            elif (key := entry["valueFrom"]["secretKeyRef"]["key"]) in secret:
                environment[entry["name"]] = secret[key]
        assert container["command"][0] == "python"
        name = f"{self.job['metadata']['name']}-{self.number}"
        self.number += 1
        with (self.folder / f"{name}.log").open("ab") as log:
            self.pods[name] = subprocess.Popen(
                [sys.executable, *container["command"][1:]], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def write(self, ended: bool) -> None:
        items = [{"kind": "Job", "status": {"conditions": [{"type": "Complete"}]} if ended else {}}]
        for name, pod in self.pods.items():
            phase = "Running" if pod.poll() is None else "Failed" if pod.returncode else "Succeeded"
            about = {"name": name, "annotations": {"pid": str(pod.pid)}}
            items.append({"kind": "Pod", "metadata": about, "spec": {"nodeName": "here"}, "status": {"phase": phase}})
        new = self.folder / "state.new"
        new.write_text(json.dumps({"items": items}))
        new.rename(self.folder / "state.json")


if __name__ == "__main__":
    main(*(word for word in sys.argv[1:] if word != "-f"))
