import os
import signal
import subprocess
import sys
import time

from conftest import ROOT

PROGRAM = """
import os, signal
from study.base import interruption
interruption.listen()
watch = interruption.ParentWatch()
watch.check()
assert not interruption.was_asked()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    raise AssertionError("nothing was raised")
except KeyboardInterrupt:
    pass  # as C++ does
try:
    watch.check()
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_check():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert ended.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert ended.returncode in (130, -signal.SIGINT)


AGAIN = """
import os, signal, sys
from study.base import interruption
interruption.listen()
heard = []
for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
    try:
        os.kill(os.getpid(), number)
        heard.append(False)
    except KeyboardInterrupt:
        heard.append(True)
print(heard, interruption.was_asked())
interruption.AGAIN_SECONDS = 0
try:
    os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    print("later it is heard")
"""


def test_a_second_signal_of_a_batch_system_does_not_disturb_the_cleaning_up():
    ended = subprocess.run([sys.executable, "-c", AGAIN], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout.splitlines() == ["[True, False, False, True] True", "later it is heard"], ended.stderr


CHILD = """
import sys, time
from pathlib import Path
from study.base.interruption import ParentWatch
watch = ParentWatch()
Path("ready").touch()
try:
    for _ in range(2_000):
        watch.check()
        time.sleep(0.05)
except KeyboardInterrupt:
    Path("ended").touch()
"""


def test_a_program_ends_as_after_ctrl_c_when_the_process_that_started_it_is_killed(tmp_path):
    words = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"]
    parent = subprocess.Popen(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    for name in ("ready", "ended"):
        deadline = time.monotonic() + 60
        while not (tmp_path / name).exists():
            assert time.monotonic() < deadline, name
            time.sleep(0.05)
        parent.kill()
        parent.wait()
