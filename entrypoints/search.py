"""Search for good hyperparameters: Optuna suggests trials, MLflow records them, and unpromising ones are pruned."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Boolean, Choice, Limit, Settings, StudyName, Text, Whole
from entrypoints.options import option
from study.design.costs import COSTS
from study.design.limits import MOST_TRIALS
from study.design.search import AUTO, BEST_SAMPLER, DEFAULT_TRIALS, METRICS, PRUNERS, SAMPLERS

OPTIONS = (
    option("study", "auto", "Name of the search. Run the same command again to resume it. auto: named after the space "
           "and the data.", StudyName()),
    option("trials", "auto", f"Total number of trials, including those of earlier runs of the command. auto: "
           f"{DEFAULT_TRIALS}, or as many as the minutes allow.", Whole(MOST_TRIALS)),
    options.MINUTES,
    option("space", "auto", "Which fields to search, and their ranges: default, wide, or a YAML file of your own. "
           "auto: default for mlp, and for another network what its parameters allow.", Text(unless="auto")),
    options.NETWORK_NAME,
    options.field_or_auto("epochs", "Maximum epochs of a trial. auto: as the space says (default and wide: 10)."),
    option("metric", "val_cross_entropy", "What to optimize: val_cross_entropy (val_loss without the L2 penalty), "
           "val_loss or val_accuracy, measured on the weights that a trial keeps.", Choice(METRICS)),
    option("sampler", AUTO, f"How points are suggested. auto: {BEST_SAMPLER}, a Gaussian process through the results "
           "so far, which found the best points with the fewest trials.", Choice((AUTO, *SAMPLERS))),
    option("pruner", "hyperband", "How unpromising trials are pruned.", Choice(PRUNERS)),
    option("limit", "none", "Train only networks below these limits, such as parameters<50000,latency_ms<1. The "
           "latency is the time that one row takes on one core.", Limit()),
    option("also", "none", "A cost to weigh the metric against in the report: parameters, latency_ms or train_seconds.",
           Choice(COSTS, unless="none")),
    option("replicate", "true", "With the sampler gp: train a promising configuration with another seed where that "
           "says more about which is best than a new point would. false: one seed each.", Boolean()),
    options.field("seed", "Seed of the suggestions, and of every trial's weights, row order and dropout."),
    options.data("A dataset's name, or a file or folder of yours. auto: mnist, or digits if MNIST is unavailable."),
    options.TARGET,
    options.SIZE,
    options.WORKERS,
    options.LAUNCH,
    options.storage(),
    option("set", "none", "Changes to the baseline, which is the first trial, such as hidden=256,dropout=0.2.",
           Settings(), "settings"),
    option("confirm", "true", "At the end, compare the best configuration with the baseline, with fresh seeds, until "
           "the difference is settled. false: skip this comparison.", Boolean()),
    options.REUSE,
    options.OUTPUT,
    options.dry_run("true: show the space with an estimate of the time, and run nothing."),
)  # fmt: skip


@options.command(__doc__, *OPTIONS, trains=True)
def main(**given: Any) -> None:
    """Run or resume the search that the options name."""
    from entrypoints.commands import search

    search.run(**given)


if __name__ == "__main__":
    program.run(main)
