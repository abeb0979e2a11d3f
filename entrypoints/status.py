"""Show how far a study has got, and who works on it: trials, workers by host, heartbeats, launches, time left."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Choice
from entrypoints.options import option

OPTIONS = (
    options.STUDY,
    options.STUDY_STORAGE,
    option("output", "text", "json: print the status as JSON, alone on the standard output.",
           Choice(("text", "json"))),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Show the status of the study that the options name."""
    from entrypoints.commands import status

    status.run(**given)


if __name__ == "__main__":
    program.run(main)
