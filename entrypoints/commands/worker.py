"""Join a search or an ablation that was started elsewhere: run trials from its queue until none is left."""

from entrypoints import display, program
from study.analysis.formatting import count
from study.tracking import runs
from study.workflows import join_study


def run(*, study: str, storage: str, workers: int, data: str | None) -> None:
    """Join the study that the options name."""
    display.warn_of_password(storage)
    runs.name_project_run(f"worker of {study}", {"study.txt": study})
    with display.Display(program.console(), None) as observe:
        joined = join_study.join_study(storage, study, workers, spec=data, observe=observe)
    left = f"takes no more trials: {joined.ended}" if joined.ended else "has no trials that wait"
    program.say(f"{count(joined.trials, 'trial')} ran here; {study} {left}")
