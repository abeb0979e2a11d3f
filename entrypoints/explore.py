"""Look at a dataset before anything is trained on it: its classes, its pixels, and what is in it twice."""

import click
from rich.console import Console

from entrypoints import display, shell
from study import data, single, survey, survey_page
from study.config import TrialConfig, value_text
from study.survey import Survey

FIELDS = TrialConfig.model_fields
DEFAULTS = {name: (value_text(FIELDS[name].default), FIELDS[name].description) for name in ("data", "validation")}
DEFAULTS["seed"] = (value_text(FIELDS["seed"].default), "of the draw of the images that are shown of each class")


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Survey the dataset that the options name."""
    config = TrialConfig.parse(given)
    dataset = data.load(config.data, config.validation)
    display.warn_of_substitute(dataset, "this is not MNIST")
    console = shell.console()
    for line in (survey_page.title(dataset), f"SHA-256 {dataset.sha256}"):
        console.print(line, markup=False, highlight=False)
    params = {"data": dataset.spec, "validation": str(len(dataset.validation)), "seed": str(config.seed)}
    with single.own_run(f"explore {dataset.name}", params, dataset, {"task": "explore"}) as run:
        found = survey.survey(dataset, config.seed, survey_page.SAMPLES)
        _print(console, found)
        page = survey_page.log(run, found, dataset, config.seed)
    for line in (f"Page: {page}", f"Run {run.run_id}: `mlflow ui` shows it."):
        console.print(line, markup=False, highlight=False)


def _print(console: Console, found: Survey) -> None:
    """Print the tables of the classes and of what is there twice, and what to know of both."""
    console.print()
    display.print_table(console, survey_page.CLASS_COLUMNS, survey_page.class_cells(found))
    console.print(survey_page.CLASS_NOTE, style="dim", highlight=False)
    console.print()
    columns, cells = survey_page.OVERLAP_COLUMNS, survey_page.overlap_cells(found)
    display.print_table(console, columns, cells, words=("that equal one of",))
    console.print(survey_page.OVERLAP_NOTE, style="dim", highlight=False)
    console.print()
    console.print(survey_page.in_short(found), markup=False, highlight=False)


if __name__ == "__main__":
    shell.run(main)
