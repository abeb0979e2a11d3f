"""Join a search or an ablation that was started elsewhere: run trials from its queue until none is left."""

from entrypoints import display, options, program
from entrypoints.option_types import Required
from entrypoints.options import option
from study.tracking import runs
from study.workflows import join_study

OPTIONS = (
    option("study", "none", "Name of the study, as its command prints it.",
           Required("Give the name that the search or ablation prints: -P study=….")),
    options.storage("The study's database: the storage of the command that started it. auto: optuna.db beside the "
                    "tracking store.", exists=True),
    options.WORKERS,
    options.data("Where the study's data are on this machine. auto: as the study says."),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(*, study: str, storage: str, workers: int, data: str | None) -> None:
    """Join the study that the options name."""
    display.warn_of_password(storage)
    runs.name_project_run(f"worker of {study}", {"study.txt": study})
    with display.Display(program.console(), None) as observe:
        done = join_study.join_study(storage, study, workers, spec=data, observe=observe)
    program.say(f"{display.count(done, 'trial')} run here. {study} has no trials left to run.")


if __name__ == "__main__":
    program.run(main)
