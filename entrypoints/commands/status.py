"""Show how far a study has got, and who works on it: trials, workers by host, heartbeats, launches, time left."""

import json

from entrypoints import display, program, status_tables
from study.execution.study_status import study_status
from study.tracking import runs


def run(*, study: str, storage: str, output: str) -> None:
    """Show the status of the study that the options name."""
    for_programs = program.output_for_programs() if output == "json" else None
    status = study_status(storage, study)
    text = json.dumps(status.as_mapping(), indent=2) + "\n"
    runs.name_project_run(f"status of {study}", {"status.json": text})
    if for_programs:
        for_programs.write(text)
        return
    for line in status_tables.lines(status):
        program.say(line)
    for table in status_tables.tables(status):
        display.print_table(program.console(), table)
