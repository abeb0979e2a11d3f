"""Controlled ablations and searches of Keras hyperparameters, every trial an MLflow run.

The modules import downwards only, which a test holds them to. From the bottom: `errors`, `config`, `data`, `evaluation`
and `statistics`; `network` and `training` on the `backend`; `figures`, `tracking`, and `trial`, which takes a config to
a finished run; `workers`, which take trials from the queue; `plan`, `ablation`, `report`, and on top `conduct`.
"""

import sys

from study.base import startup

if sys.argv[0] == "-m":  # `python -m` looks for one of our programs, which resumes when it has what it needs
    startup.pause_collector()
