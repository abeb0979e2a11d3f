"""Join a search or an ablation that was started elsewhere: run trials from its queue until none is left."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Required
from entrypoints.options import option

OPTIONS = (
    option("study", "none", "Name of the study, as its command prints it.",
           Required("Give the name that the search or ablation prints: -P study=….")),
    options.storage("The study's database: the storage of the command that started it. auto: optuna.db beside the "
                    "tracking store.", exists=True),
    options.WORKERS,
    options.data("Where the study's data are on this machine. auto: as the study says."),
)  # fmt: skip


@options.command(__doc__, *OPTIONS, trains=True)
def main(**given: Any) -> None:
    """Join the study that the options name."""
    from entrypoints.commands import worker

    worker.run(**given)


if __name__ == "__main__":
    program.run(main)
