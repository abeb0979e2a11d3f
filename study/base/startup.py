"""Keeps the chatter of TensorFlow, absl, alembic and MLflow from the person, and lets real warnings through."""

import gc
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# What TensorFlow 2.21 prints before its log level counts; the last where there is no GPU.
_CHATTER = re.compile(
    rb"^(I\d{4} |WARNING: All log messages before absl::InitializeLog|E\d{4} .*failed call to cuInit)"
)


def hush() -> None:
    """Raise the log levels of the libraries beneath us to warnings, and MLflow's to errors where it nags.

    Called first by every process. A level that the person has set in the environment stays.
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
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of letters that its fonts do not have
    # These print the traceback of what they raise as well.
    for name in ("mlflow.store.db.utils", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Each program is compiled once, but there are many of them, of one function.
    logging.getLogger("tensorflow").addFilter(lambda record: "retracing" not in record.getMessage())
    # Says for every logged model that pip's version is unknown where the environment was made by uv.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)


@contextmanager
def stderr_without_chatter() -> Iterator[None]:
    """Pass on what is written to the standard error meanwhile, by C++ too, except known chatter."""
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


# --- the garbage collector --------------------------------------------------------------------------

# To look through everything that a program imports for garbage, over and over, takes a quarter of TensorFlow's import,
# and a second when the program ends (docs/lab-log.md).


def pause_collector() -> None:
    """Let nothing be collected while a program imports what it needs."""
    gc.disable()


def resume_collector() -> None:
    """Collect again, but nothing of what there is by now; where nothing was paused, nothing happens."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
