"""Train one network with the hyperparameters you choose, and record everything in one MLflow run."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Settings
from entrypoints.options import option
from study.training.config import FIELDS

OPTIONS = (
    *map(options.field, FIELDS),
    option(
        "set", "none", "Hyperparameters of a network other than mlp, such as filters=16-32.", Settings(), "settings"
    ),
)


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Train the network that the options describe."""
    from entrypoints.commands import train

    train.run(**given)


if __name__ == "__main__":
    program.run(main)
