"""Look at a dataset before you train on it: its classes, its pixels or columns, its duplicates, and a network on it."""

from rich.console import Console

from entrypoints import display, program
from study.data import profile
from study.data.dataset import Dataset, load_dataset
from study.data.profile import FeatureProfile, Profile
from study.reports import dataset_report, dataset_tables
from study.reports.network_table import network_table
from study.tracking import runs, tags
from study.training.config import value_text
from study.workflows.common import open_run


def run(*, data: str, target: str | None, size: str | None, validation: str, network: str | None, seed: int) -> None:
    """Profile the dataset that the options name."""
    dataset = load_dataset(data, validation, target=target, size=size)
    display.warn_of_substitute(dataset, "this is not MNIST")
    console = program.console()
    program.say(f"{dataset_tables.title(dataset)}\nSHA-256 {dataset.sha256}")
    loaded = {name: value_text(value) for name, value in dataset.settings.items()}
    layers, note = network_table(network, dataset) if network else (None, "")
    params = {**loaded, "validation": str(len(dataset.validation)), "seed": str(seed)}
    params |= {"network": network} if network else {}
    marks = runs.data_tags(dataset) | {tags.TASK: "explore"}
    with open_run(f"explore {dataset.name}", params=params, marks=marks) as run:
        found = profile.profile(dataset, seed, dataset_report.SAMPLES)
        _print(console, found, dataset)
        if layers:
            console.print()
            display.print_table(console, layers)
            display.write(console, f"{network}: {note}", style="dim")
            run.log_files({"layers.csv": layers.csv()})
        page = dataset_report.log(run, found, dataset, seed)
    program.say(f"Page: {page}")
    program.print_link(run.run_id)


def _print(console: Console, found: Profile, dataset: Dataset) -> None:
    """Print the tables of classes, columns and duplicates, each with its note, and the summary."""
    console.print()
    display.print_table(console, dataset_tables.class_table(found))
    display.write(console, dataset_tables.class_note(dataset, found), style="dim")
    if isinstance(found, FeatureProfile):
        console.print()
        display.print_table(console, dataset_tables.column_table(found))
        display.write(console, dataset_tables.COLUMN_NOTE, style="dim")
    console.print()
    display.print_table(console, dataset_tables.overlap_table(found))
    display.write(console, dataset_tables.overlap_note(found), style="dim")
    console.print()
    display.write(console, dataset_tables.in_short(found))
