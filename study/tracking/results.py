"""Writes a run's results as metrics and tags in one request; writing them again duplicates nothing."""

import math
import time
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric

from study.tracking import limits
from study.tracking.records import RunRecord


def write_results(
    client: MlflowClient,
    record: RunRecord,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    *,
    replaces: tuple[str, ...],
    curves: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Write metrics, tags and curves (by epoch, from the first) into a run in one request; in none if nothing is new.

    Tags of the run that begin with one of `replaces` and are not among `tags` are deleted, because they hold an
    earlier result. A metric that has not changed is not written again, because MLflow would keep both points.
    """
    for stale in [name for name in record.tags if name.startswith(replaces) and name not in tags]:
        client.delete_tag(record.run_id, stale)
    new = {name: value for name, value in metrics.items() if record.metrics.get(name) != value}
    points = [point for name, value in new.items() for point in _points(name, [value], first=0)]
    points += [point for name, values in (curves or {}).items() for point in _points(name, values, first=1)]
    changed = [tag for tag in limits.run_tags(tags) if record.tags.get(tag.key) != tag.value]
    if points or changed:
        client.log_batch(record.run_id, metrics=points, tags=changed)  # it splits what exceeds MLflow's limit


def _points(name: str, values: Sequence[float], first: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for step, value in enumerate(values, first) if math.isfinite(value)]
