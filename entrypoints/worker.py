"""Join a search or an ablation that was started elsewhere: run trials from its queue until none is left."""

from typing import Any

from entrypoints import options, program

OPTIONS = (
    options.STUDY,
    options.STUDY_STORAGE,
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
