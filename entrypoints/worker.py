"""Join a search or an ablation that runs elsewhere: take trials from its queue until nothing is left."""

import click

from entrypoints import display, shell
from study.base.errors import ConfigError
from study.execution.storage import DEFAULT_STORAGE, check_storage
from study.tracking import runs
from study.workflows import join_study

DEFAULTS = dict(
    study=("none", "Name of the study, as its command prints it."),
    storage=(DEFAULT_STORAGE, "The database in which the study's workers meet, as its command was given it."),
    workers=("auto", "Worker processes, one thread each; auto: one for every core."),
    data=("auto", "Its data as they are called on this machine; auto: as the study says."),
)


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Join the study that the options name."""
    if given["study"] == "none":
        raise ConfigError("study is missing", hint="Give the name that the search or ablation prints: -P study=….")
    check_storage(given["storage"], exists=True)
    display.warn_of_password(given["storage"])
    workers = shell.worker_count(given["workers"])
    console = shell.console()
    runs.name_project_run(f"worker of {given['study']}", {"study.txt": given["study"]})
    with display.Display(console, None) as observe:
        done = join_study.join_study(
            given["storage"], given["study"], workers, spec=shell.unless(given["data"], "auto"), observe=observe
        )
    click.echo(f"{display.count(done, 'trial')} run here; {given['study']} has nothing left to do.")


if __name__ == "__main__":
    shell.run(main)
