"""What a process does before it imports anything heavy: silence chatty libraries, pause the garbage collector.

Real warnings get through.
"""

import gc
import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# What TensorFlow 2.21 prints before its log level takes effect; errors without a GPU, and when it reads what
# XLA compiled before, on the very processor that it says is another.
_CHATTER = re.compile(
    rb"^(I\d{4} |WARNING: All log messages before absl::InitializeLog"
    rb"|E\d{4} .*(failed call to cuInit|tensorflow\.XlaSerializedCacheEntry|cpu_aot_loader\.cc))"
)

_EXTRAS = ("sklearn", "matplotlib.pyplot")


def hush() -> None:
    """Raise the log levels of the libraries to WARNING, and higher where they repeat themselves.

    Every process calls this first. Levels that the person has set in the environment stay.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])
    for name in ("alembic", "optuna", "absl"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # about characters that its fonts lack
    # These also print the traceback of every exception they raise.
    for name in ("mlflow.store.db.utils", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # TensorFlow warns of retracing when one function is compiled many times; ours is compiled once a signature.
    logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())
    # In environments made by uv it says for every logged model that pip's version is unknown.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)


def use_tensorflow() -> None:
    """Let Keras run on TensorFlow, whatever the person's other programs use; before Keras is imported."""
    os.environ["KERAS_BACKEND"] = "tensorflow"


@contextmanager
def without_extras() -> Iterator[None]:
    """Keep Keras, which is imported in the block, from importing what it only has wrappers and galleries for.

    It takes them for packages that are not installed, and TensorFlow's import a third less time.
    """
    kept_out = [name for name in _EXTRAS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(kept_out))  # type: ignore[arg-type]  # with None an import fails
    try:
        yield
    finally:
        for name in kept_out:
            del sys.modules[name]


def accept_any_text() -> None:
    """Let the standard streams write every character: what their encoding lacks appears as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def stderr_without_chatter() -> Iterator[None]:
    """Pass on what is written to the standard error in the block, even by C++, except for known chatter."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        saved = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            for line in caught:
                if not _CHATTER.match(line):
                    os.write(2, line)


def remove_generated_code() -> None:
    """Remove the files of TensorFlow's that only an ordinary end of this process would remove."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__autograph_generated_file") and module.__file__:
            with suppress(OSError):
                os.unlink(module.__file__)


# --- the garbage collector --------------------------------------------------------------------------

# While TensorFlow is imported, the collector scans all imported objects again and again. That takes a quarter of the
# import's time, and a second when the program ends (docs/lab-log.md).


def pause_collector() -> None:
    """Stop garbage collection while a program imports its modules."""
    gc.disable()


def resume_collector() -> None:
    """Start garbage collection again, but never scan the objects that exist now. Does nothing if it was not paused."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
