"""Train one network, chosen by hand, and record all of it in one MLflow run."""

import click
from rich.console import Console

from entrypoints import display, shell
from study.data.dataset import SPLITS, Dataset, load_dataset
from study.training.config import FIELDS, TrialConfig, value_text
from study.workflows import train_network
from study.workflows.train_network import Trained

DEFAULTS = {name: (value_text(field.default), field.description) for name, field in FIELDS.items()}


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Train the network that the options describe."""
    config = TrialConfig.parse(given)
    dataset = load_dataset(config.data.source, config.data.validation)
    console = shell.console()
    _introduce(console, config, dataset)
    trained = train_network.train_network(config, dataset, _Lines(console, config.training.epochs))
    if not trained.model_uri:
        raise click.ClickException(
            f"the training diverged: {trained.result.reason}. A lower learning_rate often helps; "
            f"run {trained.record.run_id} keeps the curves."
        )
    _conclude(console, trained)


def _introduce(console: Console, config: TrialConfig, dataset: Dataset) -> None:
    console.print(train_network.name_of(config), markup=False, highlight=False)
    display.introduce_data(console, dataset, SPLITS, "this is not trained on MNIST")


class _Lines:
    """Prints a line for each epoch under a header; call it with the epochs as they end."""

    def __init__(self, console: Console, epochs: int):
        self._console, self._epochs = console, epochs
        self._seconds = 0.0
        self._width = max(len("epoch"), 2 * len(str(epochs)) + 1)

    def __call__(self, epoch) -> None:
        """Print the epoch; the time left is that of the epochs to come, if all of them are trained."""
        if epoch.number == 1:
            header = f"{'epoch':>{self._width}}    loss  accuracy  val_loss  val_accuracy  time left"
            self._console.print(header, highlight=False)
        self._seconds += epoch.seconds
        left = display.duration(self._seconds / epoch.number * (self._epochs - epoch.number))
        self._console.print(
            f"{f'{epoch.number}/{self._epochs}':>{self._width}}  {epoch.loss:>6.4f}  {epoch.accuracy:>8.2%}  "
            f"{epoch.val_loss:>8.4f}  {epoch.val_accuracy:>12.2%}  {left:>9}",
            highlight=False,
        )


def _conclude(console: Console, trained: Trained) -> None:
    result, metrics = trained.result, trained.record.metrics
    lowest = ""
    if result.model_epoch != result.best_epoch:
        lowest = f"; the lowest val_loss was that of epoch {result.best_epoch}, which patience= would restore"
    for line in (
        f"Kept: epoch {result.model_epoch} of {len(result.epochs)}{lowest}",
        f"Accuracy: {metrics['model_val_accuracy']:.2%} validation, {metrics['test_accuracy']:.2%} test",
        f"Run {trained.record.run_id}: `mlflow ui` shows it with its curves, confusion matrices and model.",
        f"Model: {trained.model_uri}",
    ):
        console.print(line, markup=False, highlight=False)


if __name__ == "__main__":
    shell.run(main)
