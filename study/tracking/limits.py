"""Holds the lengths that MLflow's SQL stores take, and shortens what is longer, visibly.

SQLite takes any length. PostgreSQL refuses what its columns cannot hold, and with that ends the program that writes it.
The numbers are those of the columns in MLflow 3.17; tests/tracking/test_limits.py compares them.
"""

from collections.abc import Mapping

from mlflow.entities import Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

RUN_NAME = 250
PARAM = 6_000
TAG = 8_000  # a run's description is a tag too
MODEL_NAME = 256
MODEL_DESCRIPTION = 5_000  # of a registered model, and of a version
METRICS_A_REQUEST = 1_000
ELLIPSIS = "…"


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters; one that was longer ends with an ellipsis."""
    return text if len(text) <= most else text[: most - len(ELLIPSIS)] + ELLIPSIS


def tag_text(name: str, value: object) -> str:
    """Return a tag's value as MLflow can store it under this name."""
    return shortened(str(value), RUN_NAME if name == MLFLOW_RUN_NAME else TAG)


def run_tags(values: Mapping[str, object]) -> list[RunTag]:
    """Return tags as MLflow can store them."""
    return [RunTag(name, tag_text(name, value)) for name, value in values.items()]


def run_params(values: Mapping[str, str]) -> list[Param]:
    """Return params as MLflow can store them."""
    return [Param(name, shortened(text, PARAM)) for name, text in values.items()]
