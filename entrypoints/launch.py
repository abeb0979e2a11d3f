"""Bring more workers to a running search or ablation: on this machine, on others over SSH, or on a cluster."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Choice, EngineOptions, Whole
from entrypoints.options import option
from study.base.processes import cores
from study.execution.engines.engine import MOST_LAUNCHED, NAMES

OPTIONS = (
    options.STUDY,
    options.STUDY_STORAGE,
    option("on", "local", "The engine that starts the workers.", Choice(NAMES), "engine"),
    option("workers", "auto", "Workers, one core each. auto: one per core of this machine.",
           Whole(MOST_LAUNCHED, cores)),
    option("options", "none", "The engine's own options, such as partition=gpu,time=08:00:00 for slurm.",
           EngineOptions(), "own"),
    options.data("The study's data where the workers run. auto: as the study says."),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Bring workers to the study that the options name."""
    from entrypoints.commands import launch

    launch.run(**given)


if __name__ == "__main__":
    program.run(main)
