"""Stores views of an experiment for the MLflow UI's menu *Views*: the studies, and the arms of the latest one.

The UI keeps a view as an experiment's tag: JSON with a name, two dates, and the state of the page as JSON again. The
format is not documented. It was read in the sources of MLflow 3.17 (savedViewEnvelope.ts, ExperimentPageUIState.tsx)
and checked in a browser. A later UI ignores what it does not know, or says that the view is invalid; no run depends
on it. A link opens a view by its key: ``#/experiments/0/runs?viewStateShareKey=arms&compareRunsMode=CHART``.
"""

import json
from collections.abc import Mapping
from contextlib import suppress

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from study.tracking import tags
from study.tracking.artifacts import ARM_CURVES
from study.tracking.records import RunRecord

ARMS, STUDIES = "arms", "studies"  # the keys
PREFIX = "mlflow.sharedViewState."
WRITTEN = 1_795_478_400_000  # 24 November 2026, in milliseconds: an older view of the studies is replaced
RUNS_IN_A_CHART = 20


def store_views(client: MlflowClient, study: RunRecord, *, has_arms: bool) -> None:
    """Store the view of the studies, if the experiment has none, and the view of this study's arms, if it has any."""
    with suppress(MlflowException):  # a server may let us write only runs; the views are a convenience
        there = client.get_experiment(study.experiment_id).tags
        if not _is_written(there.get(PREFIX + STUDIES)):
            _store(client, study, STUDIES, "Studies, with their arms", _studies())
        if has_arms:
            _store(client, study, ARMS, f"Arms of {study.name}", _arms(study.run_id))


def _store(client: MlflowClient, study: RunRecord, key: str, name: str, state: Mapping[str, object]) -> None:
    envelope = {"name": name, "createdAt": WRITTEN, "updatedAt": WRITTEN, "state": json.dumps(state)}
    client.set_experiment_tag(study.experiment_id, PREFIX + key, json.dumps(envelope))


def _is_written(text: str | None) -> bool:
    try:
        return text is not None and json.loads(text)["createdAt"] >= WRITTEN
    except (ValueError, KeyError, TypeError):
        return False


# --- their states -------------------------------------------------------------------------------------


def _arms(study_run_id: str) -> dict[str, object]:
    # Not sorted by start time: then the UI would hide the arms below their study.
    one = f"tags.{tags.KIND} = '{tags.ARM_KIND}' and tags.{tags.STUDY_RUN} = '{study_run_id}'"
    return _table(one, _metric(tags.MODEL_VAL_ACCURACY), COLUMNS) | {
        "runsHiddenMode": "FIRST_20_RUNS",
        "isAccordionReordered": True,  # or the sections would be in alphabetical order
        "compareRunSections": [_section("curves", "Means over the seeds"), _section("figures", "Figures")],
        "compareRunCharts": [*map(_line, ARM_CURVES), *(_chart("BAR", "figures", name, {}) for name in FIGURES)],
    }


def _studies() -> dict[str, object]:
    best = f"best_{tags.MODEL_VAL_CROSS_ENTROPY}"
    columns = (*COLUMNS, _metric(tags.TRIALS_PRUNED), _metric(best), _metric(f"{best}_se"))
    state = _table(f"tags.{tags.KIND} != '{tags.TRIAL_KIND}'", "attributes.start_time", columns)
    # Wide enough for all verdicts of a study in one line.
    return state | {"columnWidths": {name: _width(name) for name in columns} | {_tag(tags.VERDICT): 280}}


def _table(condition: str, sort: str, columns: tuple[str, ...]) -> dict[str, object]:
    """Return the state of a table of the runs that match a filter, those with the greatest `sort` first."""
    filters = {"startTime": "ALL", "lifecycleFilter": "Active", "modelVersionFilter": "All Runs", "datasetsFilter": []}
    order = {"orderByKey": sort, "orderByAsc": False}
    look = {
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {name: _width(name) for name in columns},
    }
    return {"searchFilter": condition} | look | order | filters


def _width(column: str) -> int:
    return max(90, 8 * len(column) - 50)  # pixels, enough to read the name


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _chart(kind: str, section: str, metric: str, others: Mapping[str, object]) -> dict[str, object]:
    own = {"uuid": f"{section}-{metric}", "type": kind, "metricKey": metric, "metricSectionId": section}
    return own | {"runsCountToCompare": RUNS_IN_A_CHART, "isGenerated": False, "deleted": False} | dict(others)


def _line(metric: str) -> dict[str, object]:
    """Return a chart of a curve with its interval."""
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "lineSmoothness": 0}
    both = {"selectedMetricKeys": [metric, metric + tags.LOW, metric + tags.HIGH]}
    return _chart("LINE", "curves", metric, {"selectedXAxisMetricKey": ""} | axes | both)


def _section(key: str, name: str) -> dict[str, object]:
    return {"uuid": key, "name": name, "display": True, "isReordered": True}


FIGURES = (
    tags.MODEL_VAL_ACCURACY,
    tags.DIFFERENCE,
    tags.DIFFERENCE + tags.LOW,
    tags.DIFFERENCE + tags.HIGH,
)
COLUMNS = (
    _tag(tags.TASK),
    _tag(tags.VERDICT),
    *map(_metric, FIGURES),
    _tag(tags.DATASET_TITLE),
    _metric(tags.TRIALS_COMPLETE),
    _metric(tags.TRIALS_FAILED),
)
