"""End a study everywhere: its command, its workers on all machines, and its jobs on engines."""

from typing import Any

from entrypoints import options, program

OPTIONS = (
    options.STUDY,
    options.STUDY_STORAGE,
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Cancel the study that the options name."""
    from entrypoints.commands import cancel

    cancel.run(**given)


if __name__ == "__main__":
    program.run(main)
