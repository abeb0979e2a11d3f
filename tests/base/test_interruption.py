import signal
import subprocess
import sys

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
