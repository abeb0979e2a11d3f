"""Write a study's report again from its runs in MLflow."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Choice, Required
from entrypoints.options import option
from study.design.limits import COMPARE

OPTIONS = (
    option("run", "none", "Run ID of the study. `mlflow ui` shows it, and the study's command prints it last.",
           Required("Give the ID of a study's run: -P run=… (`mlflow ui` shows it).")),
    option("compare", "auto", "For an ablation: compare each arm with the baseline, or compare all pairs of arms "
           "(pairs). auto: as the study did.", Choice(("auto", *COMPARE))),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Write the report of the study that the options name into its run."""
    from entrypoints.commands import report

    report.run(**given)


if __name__ == "__main__":
    program.run(main)
