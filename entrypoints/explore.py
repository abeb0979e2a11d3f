"""Look at a dataset before anything is trained on it: its classes, its pixels, and what is in it twice."""

import click
from rich.console import Console

from entrypoints import display, shell
from study.data import profile
from study.data.dataset import load_dataset
from study.data.profile import Profile
from study.reports import dataset_report
from study.tracking import runs
from study.training.config import FIELDS, TrialConfig, value_text
from study.workflows.common import open_run

DEFAULTS = {name: (value_text(FIELDS[name].default), FIELDS[name].description) for name in ("data", "validation")}
DEFAULTS["seed"] = (value_text(FIELDS["seed"].default), "of the draw of the images that are shown of each class")


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Survey the dataset that the options name."""
    config = TrialConfig.parse(given)
    dataset = load_dataset(config.data.source, config.data.validation)
    display.warn_of_substitute(dataset, "this is not MNIST")
    console = shell.console()
    for line in (dataset_report.title(dataset), f"SHA-256 {dataset.sha256}"):
        console.print(line, markup=False, highlight=False)
    params = {"data": dataset.spec, "validation": str(len(dataset.validation)), "seed": str(config.seed)}
    with open_run(f"explore {dataset.name}", params=params, tags=runs.data_tags(dataset) | {"task": "explore"}) as run:
        found = profile.profile(dataset, config.seed, dataset_report.SAMPLES)
        _print(console, found)
        page = dataset_report.log(run, found, dataset, config.seed)
    for line in (f"Page: {page}", f"Run {run.run_id}: `mlflow ui` shows it."):
        console.print(line, markup=False, highlight=False)


def _print(console: Console, found: Profile) -> None:
    """Print the tables of the classes and of what is there twice, and what to know of both."""
    console.print()
    display.print_table(console, dataset_report.CLASS_COLUMNS, dataset_report.class_cells(found))
    console.print(dataset_report.CLASS_NOTE, style="dim", highlight=False)
    console.print()
    columns, cells = dataset_report.OVERLAP_COLUMNS, dataset_report.overlap_cells(found)
    display.print_table(console, columns, cells, words=("that equal one of",))
    console.print(dataset_report.OVERLAP_NOTE, style="dim", highlight=False)
    console.print()
    console.print(dataset_report.in_short(found), markup=False, highlight=False)


if __name__ == "__main__":
    shell.run(main)
