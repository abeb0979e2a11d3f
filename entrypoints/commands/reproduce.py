"""Train a trial again, or some trials of a study, and certify whether every bit is the same."""

import click

from entrypoints import options, program
from study.analysis.formatting import count
from study.analysis.reproduction import Comparison
from study.reports import certificate as pages
from study.tracking import stored
from study.workflows import reproduce


def run(*, run: str, sample: int | None, data: str | None, network: str | None) -> None:
    """Train again what the options name."""
    request = reproduce.prepare(run, sample, network)
    total = len(request.trials)
    program.say(f"reproduce {request.run.name}: {total} of {count(request.of, 'trial')}")
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
    path = stored.artifact_path(request.client, run, pages.PAGE)
    if certificate.same:
        program.say(certificate.sentence)
    program.say(f"Certificate: {path}")
    program.print_link(certificate.by)
    if not certificate.same:
        raise click.ClickException(certificate.sentence)
