"""Write a study's report again from its runs in MLflow."""

from entrypoints import display, program
from study.analysis import ablation_results, search_results
from study.reports import ablation_report, search_report
from study.tracking import runs, store


def run(*, run: str, compare: str) -> None:
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
