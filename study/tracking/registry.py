"""Reads and writes the model registry: versions of a named model, and the aliases champion and previous."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from study.base.errors import TrackingError, first_line
from study.tracking.limits import MODEL_DESCRIPTION, shortened
from study.tracking.store import every_page, said_clearly

CHAMPION, PREVIOUS = "champion", "previous"
USUAL = "Crowned by `mlflow run . -e promote`."
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Version:
    """A version of a registered model: its number, the run that made it, and its tags."""

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]


def champion(client: MlflowClient, name: str) -> Version | None:
    """Return the model's champion version, or None if there is none."""
    try:
        found = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as failure:
        if failure.error_code in NOT_THERE:  # neither the model nor the alias has to exist
            return None
        raise TrackingError(first_line(failure), where=name) from failure
    return Version(name, str(found.version), found.run_id or "", dict(found.tags))


def champions(client: MlflowClient) -> list[str]:
    """Return the names of the registered models that have a champion."""
    with said_clearly("registry"):
        models = every_page(lambda token: client.search_registered_models(page_token=token))
        return sorted(model.name for model in models if CHAMPION in model.aliases)


def make_model(client: MlflowClient, name: str, description: str = USUAL) -> None:
    """Make the registered model, with this description, unless it exists; raises TrackingError."""
    try:
        client.create_registered_model(name, description=shortened(description, MODEL_DESCRIPTION))
    except MlflowException as failure:
        if failure.error_code != "RESOURCE_ALREADY_EXISTS":
            raise TrackingError(first_line(failure), where=name) from failure


def crown(
    client: MlflowClient, name: str, source: str, run_id: str, description: str, tags: Mapping[str, str]
) -> Version:
    """Register the model at `source` as the next version and make it champion; the old champion becomes previous."""
    old = champion(client, name)
    make_model(client, name)
    description = shortened(description, MODEL_DESCRIPTION)
    made = client.create_model_version(name, source, run_id=run_id, tags=dict(tags), description=description)
    if old:
        client.set_registered_model_alias(name, PREVIOUS, old.number)
    client.set_registered_model_alias(name, CHAMPION, made.version)
    return Version(name, str(made.version), run_id, dict(tags))
