"""Runs controlled ablations and searches of Keras hyperparameters; every trial is an MLflow run.

In a notebook: `study.run_ablation(...)`, `study.run_search(...)` and `study.load(run_id)` (docs/python.md). Importing
this package imports neither TensorFlow nor MLflow; the first of these calls does.
"""

import importlib
import sys

from study.base import startup

if sys.argv[0] == "-m":  # `python -m` is about to run one of our programs, which resumes the collector itself
    startup.pause_collector()

_DOOR = {name: "study.workflows.notebook" for name in ("run_ablation", "run_search", "load")}
__all__ = [*_DOOR]


def __getattr__(name: str) -> object:
    if name in _DOOR:
        return getattr(importlib.import_module(_DOOR[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_DOOR])
