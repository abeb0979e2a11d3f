"""Render a study's report again, from what MLflow keeps of it."""

import click

from entrypoints import display, shell
from study.analysis import ablation_results, search_results
from study.analysis.ablation_results import COMPARE
from study.base.errors import ConfigError
from study.reports import ablation_report, search_report
from study.tracking import runs, store

DEFAULTS = dict(
    run=("none", "ID of the study's run; `mlflow ui` shows it, and the command prints it at its end."),
    compare=(
        "auto",
        "What each arm of an ablation is compared with: baseline, or pairs (each with each); auto: as the study says.",
    ),
)


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Write the report of the study that the options name into its run."""
    if given["run"] == "none":
        raise ConfigError("run is missing", hint="Give the ID of a study's run: -P run=… (`mlflow ui` shows it).")
    compare = shell.choice("compare", given["compare"], ("auto", *COMPARE))
    client = store.connect()
    if search_results.is_search(client, given["run"]):
        study = search_results.read(client, given["run"])
        page = search_report.log(study)
        display.print_search(shell.console(), study)
    else:
        study = ablation_results.read(client, given["run"], compare)
        page = ablation_report.log(study)
        display.print_findings(shell.console(), study)
    click.echo(f"Report: {page}")
    runs.name_project_run(f"report of {study.record.name}", {"report_of.txt": study.record.run_id})


if __name__ == "__main__":
    shell.run(main)
