"""Train a trial again, or some trials of a study, and certify whether every bit is the same."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import NetworkName, Required, Whole
from entrypoints.options import option
from study.design.limits import MOST_TRIALS, RECORDED


class KeptNetwork(NetworkName):
    """A network's name or file as NetworkName takes it, or the word for the file that the study's run has kept."""

    metavar = f"{RECORDED}|FILE.py|FILE.py:FUNCTION"

    def parse(self, name: str, text: str) -> str:
        return text if text == RECORDED else super().parse(name, text)


OPTIONS = (
    option("run", "none", "Run ID of a trial, of a study or of one of its arms. `mlflow ui` shows it.",
           Required("Give the ID of a run: -P run=… (`mlflow ui` shows it).")),
    option("sample", "auto", "How many trials of a study to train again. auto: 3. The trials' IDs decide which.",
           Whole(MOST_TRIALS)),
    options.data("Where the trials' data are now. auto: where they were."),
    option("network", "auto", "Needed if the network is in a file, whose code then runs: the file, or "
           f"{RECORDED} for the copy in the study's run. auto: a network of the project.", KeptNetwork()),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Train again what the options name."""
    from entrypoints.commands import reproduce

    reproduce.run(**given)


if __name__ == "__main__":
    program.run(main)
