"""Python's garbage collector, kept away from what a program imports and then needs to its end.

To look through all of that for garbage, over and over, takes a quarter of TensorFlow's import, and a second when the
program ends (docs/lab-log.md).
"""

import gc


def pause() -> None:
    """Let nothing be collected while a program imports what it needs."""
    gc.disable()


def resume() -> None:
    """Collect again, but nothing of what there is by now; where nothing was paused, nothing happens."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
