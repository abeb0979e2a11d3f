"""Write a study's report again from its runs in MLflow."""

from entrypoints import display, program
from entrypoints.option_types import Choice, Required
from entrypoints.options import command, option
from study.analysis import ablation_results, search_results
from study.analysis.ablation_results import COMPARE
from study.reports import ablation_report, search_report
from study.tracking import runs, store

OPTIONS = (
    option("run", "none", "Run ID of the study. `mlflow ui` shows it, and the study's command prints it last.",
           Required("Give the ID of a study's run: -P run=… (`mlflow ui` shows it).")),
    option("compare", "auto", "For an ablation: compare each arm with the baseline, or compare all pairs of arms "
           "(pairs). auto: as the study did.", Choice(("auto", *COMPARE))),
)  # fmt: skip


@command(__doc__, *OPTIONS)
def main(*, run: str, compare: str) -> None:
    """Write the report of the study that the options name into its run."""
    client = store.connect()
    if search_results.is_search(client, run):
        search = search_results.read(client, run)
        name, page = search.record.name, search_report.log(search)
        display.print_search(program.console(), search)
    else:
        ablation = ablation_results.read(client, run, compare)
        name, page = ablation.record.name, ablation_report.log(ablation)
        display.print_findings(program.console(), ablation)
    runs.name_project_run(f"report of {name}", {"report_of.txt": run})
    program.say(f"Report: {page}")
    program.print_link(run)


if __name__ == "__main__":
    program.run(main)
