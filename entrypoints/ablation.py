"""Run a controlled ablation: arms that differ in named hyperparameters, each trained with the same seeds."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Choice, Number, Whole
from entrypoints.options import option
from study.design.limits import CAP, COMPARE, DECIDE, MARGIN, MOST_SEEDS, VARY

OPTIONS = (
    option("task", "batch_size", "A task of the catalogue, or a YAML file of your own. list shows the catalogue."),
    options.data("A dataset's name, or a file or folder of yours. auto: as the task says, usually mnist, or digits if "
                 "MNIST is unavailable."),
    options.TARGET,
    options.SIZE,
    options.field_or_auto("validation", "Training rows kept for validation: a count or a fraction. auto: as the task "
                          "says."),
    options.NETWORK_NAME,
    option("seeds", "auto", "Number of seeds for each arm. auto: 7 or a few more at first, then more while a "
           "comparison is open.", Whole(MOST_SEEDS)),
    option("most_seeds", "auto", f"The most seeds that an arm gets with seeds=auto. auto: {CAP}.",
           Whole(MOST_SEEDS, auto=CAP)),
    options.MINUTES,
    option("margin", "auto", "The smallest difference that matters, in points of accuracy (nats with "
           f"decide=val_cross_entropy). auto: as the task says, usually {MARGIN:g}.", Number(100, unless="auto")),
    option("decide", "val_accuracy", "The measure that verdicts rest on.", Choice(DECIDE)),
    options.field_or_auto("epochs", "Maximum epochs of a trial. auto: as the task says."),
    options.WORKERS,
    options.LAUNCH,
    options.SETTINGS,
    option("compare", "baseline", "Compare each arm with the baseline, or compare all pairs of arms (pairs).",
           Choice(COMPARE)),
    option("vary", "auto", f"{options.VARIES} auto: as the task says, usually seed.", Choice(VARY, unless="auto")),
    options.storage(),
    options.REUSE,
    options.OUTPUT,
    options.dry_run("true: list the trials with an estimate of the time, and run nothing."),
)  # fmt: skip


@options.command(__doc__, *OPTIONS, trains=True)
def main(**given: Any) -> None:
    """Run the ablation that the options name."""
    from entrypoints.commands import ablation

    ablation.run(**given)


if __name__ == "__main__":
    program.run(main)
