"""Look at a dataset before you train on it: its classes, its pixels or columns, its duplicates, and a network on it."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import NetworkName
from entrypoints.options import option

OPTIONS = (
    options.field("data"),
    options.TARGET,
    options.SIZE,
    options.field("validation"),
    option("network", "auto", "Show the layers of this network on these data as well: mlp, cnn, or a file of your own. "
           "auto: none.", NetworkName()),
    options.field("seed", "Seed of the random choice of the images shown for each class."),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Profile the dataset that the options name."""
    from entrypoints.commands import explore

    explore.run(**given)


if __name__ == "__main__":
    program.run(main)
