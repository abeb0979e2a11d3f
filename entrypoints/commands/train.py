"""Train one network with the hyperparameters you choose, and record everything in one MLflow run."""

import click
from rich.console import Console

from entrypoints import display, program
from study.data.dataset import SPLITS, load_dataset
from study.workflows import train_network
from study.workflows.train_network import Trained


def run(*, settings: dict[str, str], **values: object) -> None:
    """Train the network that the options describe."""
    config = train_network.config_of(values, settings)
    dataset = load_dataset(
        config.data.source, config.data.validation, config.data.fold, config.data.target, config.data.size
    )
    console = program.console()
    program.say(train_network.name_of(config))
    if others := train_network.other_defaults(config):
        program.say(f"{config.network.name}'s own defaults: {others}; set=… changes them.")
    display.introduce_data(console, dataset, SPLITS, "this is not trained on MNIST")
    trained = train_network.train_network(config, dataset, _Lines(console, config.training.epochs))
    if not trained.model_uri:
        raise click.ClickException(
            f"the training diverged: {trained.result.reason}. A lower learning_rate often helps. "
            f"Run {trained.record.run_id} has the curves."
        )
    _conclude(trained)


class _Lines:
    """Prints a line for each epoch under a header; call it with the epochs as they end."""

    def __init__(self, console: Console, epochs: int):
        self._console, self._epochs = console, epochs
        self._seconds = 0.0
        self._width = max(len("epoch"), 2 * len(str(epochs)) + 1)

    def __call__(self, epoch) -> None:
        """Print the epoch, and the time that the remaining epochs would take."""
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


def _conclude(trained: Trained) -> None:
    result, metrics = trained.result, trained.record.metrics
    lowest = ""
    if result.model_epoch != result.best_epoch:
        stopped = trained.record.params["patience"] != "none"
        why = "by no more than min_delta" if stopped else "with patience= the model would be that one"
        lowest = f". val_loss was lowest in epoch {result.best_epoch}{', ' if stopped else '; '}{why}"
    program.say(f"Kept: epoch {result.model_epoch} of {len(result.epochs)}{lowest}")
    program.say(f"Accuracy: {metrics['model_val_accuracy']:.2%} validation, {metrics['test_accuracy']:.2%} test")
    program.say(f"Model: {trained.model_uri}")
    program.print_link(trained.record.run_id)
