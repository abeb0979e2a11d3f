"""The server with real processes in place of workers, which end at once, so that TensorFlow is not needed."""

import json
import subprocess
import sys

from conftest import ROOT

from study.execution.worker_server import IDLE

PROGRAM = """
import json, os, socket, sys, threading
from pathlib import Path
from study.execution.worker_server import REPLACE_ME, Lines, WorkerServer


class Ended(WorkerServer):
    def _become(self, job, life, others):
        tries = Path(job.words[0])
        with tries.open("a") as file:
            file.write("x")
        os._exit(REPLACE_ME if tries.stat().st_size < 3 else int(job.words[1]))


here, there = socket.socketpair()
server = threading.Thread(target=Ended(Lines(there)).serve)
server.start()
lines, seen = Lines(here), []
for number, status in enumerate("04"):
    lines.send({"number": number, "words": [f"tries{number}", status], "folder": ".", "environment": {}})
while sum(status is not None for _, _, status in seen) < 2:
    seen += lines.receive()
here.close()
server.join()
print(json.dumps(seen))
"""


def test_a_worker_that_asks_for_it_is_replaced_and_has_not_ended(tmp_path):
    """Of two workers each asks twice; the server ends when its program's socket closes."""
    words = [sys.executable, "-c", PROGRAM]
    environment = {"PYTHONPATH": str(ROOT), "STUDY_WORKERS": "spawn"}  # no import of TensorFlow
    output = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    for number, status in enumerate((0, 4)):
        events = [(pid, end) for one, pid, end in json.loads(output) if one == number]
        started = [pid for pid, end in events if end is None]
        assert len(set(started)) == 3 and events[-1] == (started[-1], status) and len(events) == 4


BELL = """
import json, os, socket, threading
from study.execution.worker_server import WAKE, Lines, WorkerServer


class Idle(WorkerServer):
    def _become(self, job, life, others):
        life.send(b"x")
        os._exit(7 if life.recv(1) else 1)


here, there = socket.socketpair()
server = threading.Thread(target=Idle(Lines(there)).serve)
server.start()
lines, seen = Lines(here), []
lines.send({"number": 3, "words": [], "folder": ".", "environment": {}})
while len(seen) < 2:
    seen += lines.receive()
lines.send(WAKE)
while len(seen) < 3:
    seen += lines.receive()
here.close()
server.join()
print(json.dumps(seen))
"""


def test_an_idle_worker_is_heard_and_woken(tmp_path):
    environment = {"PYTHONPATH": str(ROOT), "STUDY_WORKERS": "spawn"}
    words = [sys.executable, "-c", BELL]
    seen = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    (_, pid, _), *_ = news = json.loads(seen)
    assert news == [[3, pid, None], [3, pid, IDLE], [3, pid, 7]]
