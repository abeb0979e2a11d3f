"""Promote a champion: race the best configurations with fresh seeds, test the winner only, and register it."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Boolean, NetworkName, Number, Text, Whole
from entrypoints.options import option
from study.design.limits import MOST_FRESH_SEEDS, MOST_SEEDS

MOST_ENTRANTS = 100
OPTIONS = (
    option("from", "none", "Run ID of the study whose trials are candidates. none: every trial of the experiment.",
           Text(unless="none"), "source"),
    option("filter", "none", "An MLflow filter on the trials, such as params.activation = 'relu'.",
           Text(unless="none"), "query"),
    options.data("A dataset's name, or a file or folder of yours. auto: the data of the trials, if they share one "
                 "dataset."),
    options.TARGET,
    options.SIZE,
    option("network", "auto", "The network whose trials are candidates: mlp, cnn, or a file of your own. auto: all of "
           "the project's.", NetworkName()),
    option("top", "5", "How many configurations to race: the best by mean validation accuracy.",
           Whole(MOST_ENTRANTS, auto=5)),
    option("within", "none", "Promote the cheapest configuration that is at most this many points of accuracy behind "
           "the best: by the cost that the search named in also=, or else by parameters.", Number(100)),
    option("seeds", "auto", "How many fresh seeds to train each configuration with. auto: 7 or a few more; if there is "
           f"a champion, up to {MOST_FRESH_SEEDS} for configurations that are hard to tell from it.",
           Whole(MOST_SEEDS)),
    option("name", "auto", "The registered model that gets a new champion. auto: named after the data, such as "
           f"{options.MODEL} or digits-mlp.", Text(unless="auto")),
    options.VARY,
    options.WORKERS,
    options.LAUNCH,
    options.storage(),
    option("force", "false", "true: promote the winner even if it does not beat the champion, even if there are no "
           "new trials. The race keeps its seeds.", Boolean()),
    options.dry_run("true: list the configurations to race with an estimate of the time, and run nothing."),
)  # fmt: skip


@options.command(__doc__, *OPTIONS, trains=True)
def main(**given: Any) -> None:
    """Promote as the options say."""
    from entrypoints.commands import promote

    promote.run(**given)


if __name__ == "__main__":
    program.run(main)
