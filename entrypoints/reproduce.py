"""Train a trial again, or some trials of a study, and certify whether every bit is the same."""

import click

from entrypoints import options, program
from entrypoints.option_types import NetworkName, Required, Whole
from entrypoints.options import option
from study.analysis.reproduction import Comparison
from study.reports import certificate as pages
from study.tracking import records
from study.workflows import reproduce

MOST_TRIALS = 1_000


class KeptNetwork(NetworkName):
    """A network's name or file as NetworkName takes it, or the word for the file that the study's run has kept."""

    metavar = f"{reproduce.RECORDED}|FILE.py|FILE.py:FUNCTION"

    def parse(self, name: str, text: str) -> str:
        return text if text == reproduce.RECORDED else super().parse(name, text)


OPTIONS = (
    option("run", "none", "Run ID of a trial, of a study or of one of its arms. `mlflow ui` shows it.",
           Required("Give the ID of a run: -P run=… (`mlflow ui` shows it).")),
    option("sample", "auto", "How many trials of a study are trained again. auto: 3. Their IDs decide which.",
           Whole(MOST_TRIALS)),
    options.data("Where the trials' data are now. auto: where they were."),
    option("network", "auto", "For a network in a file of somebody's own, whose code then runs: the file, or "
           f"{reproduce.RECORDED} for the copy in the study's run. auto: one of the project's.", KeptNetwork()),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(*, run: str, sample: int | None, data: str | None, network: str | None) -> None:
    """Train again what the options name."""
    request = reproduce.prepare(run, sample, network)
    total = len(request.trials)
    program.say(f"reproduce {request.run.name}: {total} of {pages.count(request.of, 'trial')}")
    number = 0

    def observe(comparison: Comparison) -> None:
        nonlocal number
        number += 1
        outcome = "the same" if comparison.same else f"differs: {pages.difference(comparison)}"
        program.say(f" {number:>{len(str(total))}}/{total}  {comparison.trial.name}  {outcome}")
        program.say(f"{'':>{2 * len(str(total)) + 4}}compared: {pages.amounts(comparison)}")

    certificate = reproduce.reproduce(request, data=data, params=options.given(), observe=observe)
    for cause in certificate.causes:
        program.say(f"Not as it was: {cause}")
    if not certificate.causes and not certificate.same:
        program.say(pages.NO_CAUSE)
    path = records.artifact_path(request.client, run, pages.PAGE)
    if certificate.same:
        program.say(certificate.sentence)
    program.say(f"Certificate: {path}")
    program.print_link(certificate.by)
    if not certificate.same:
        raise click.ClickException(certificate.sentence)


if __name__ == "__main__":
    program.run(main)
