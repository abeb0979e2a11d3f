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
