"""Writes the certificate of a reproduction: which trials were trained again, and whether every bit was the same."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from study.analysis.formatting import count
from study.analysis.reproduction import Comparison
from study.reports.markdown import plain
from study.reports.study_report import commit_text
from study.reports.table import Table
from study.tracking import tags
from study.tracking.records import RunRecord

VERSION = 1  # of the JSON file
FOLDER = "certificate"
JSON, PAGE = f"{FOLDER}/certificate.json", f"{FOLDER}/certificate.md"
SAME, DIFFERS = "bit for bit", "differs"
NO_CAUSE = "Nothing that is recorded was different: the same data, code, libraries and processor."
SAID_OF_NOW = {
    tags.GIT_COMMIT: "commit",
    tags.TRAINING_CODE: "training code",
    tags.LIBRARIES: "libraries",
    tags.PROCESSOR: "processor",
    tags.PROCESSOR_FEATURES: "its features",
    tags.DATASET_SHA256: "data, SHA-256",
}


@dataclass(frozen=True)
class Certificate:
    """What came of training one trial, or a sample of a study's, again.

    `run` is the run that was asked for, `of` how many trials it has that could be repeated; `then` and `now` are the
    tags of the first trial and of its repetition, `packages` what has another version now, `by` the run ID of the
    reproduction, `when` its time.
    """

    run: RunRecord
    of: int
    trials: tuple[Comparison, ...]
    then: dict[str, str]
    now: dict[str, str]
    packages: tuple[str, ...]
    by: str
    when: datetime

    @property
    def same(self) -> bool:
        """Whether every trial came to the same bits."""
        return all(trial.same for trial in self.trials)

    @property
    def causes(self) -> list[str]:
        """What was different at any of the trials, in words."""
        return list(dict.fromkeys(cause for trial in self.trials for cause in trial.causes))

    @property
    def sentence(self) -> str:
        """The outcome in one line."""
        if self.same:
            what = f"{len(self.trials)} of {count(self.of, 'trial')}" if self.of > 1 else self.trials[0].trial.name
            return f"Reproduced bit for bit: {what}."
        bad = [trial for trial in self.trials if not trial.same]
        first = f"the first: {bad[0].trial.name}, {difference(bad[0])}" if self.of > 1 else difference(bad[0])
        counted = f"{len(bad)} of {count(len(self.trials), 'trial')}; " if self.of > 1 else ""
        return f"Not reproduced: {counted}{first}"


def difference(trial: Comparison) -> str:
    """Return where a trial and its repetition differ first, in words."""
    part = trial.first
    return f"{part.name}, {part.first}" if part else "no difference"


def amounts(trial: Comparison) -> str:
    """Return how much was compared: ``78 losses of the steps, 36 curves, …``."""
    return ", ".join(f"{part.compared:,} {_of_many(part.name)}" for part in trial.parts)


def _of_many(name: str) -> str:
    return {"curves": "points of curves"}.get(name, name)


def as_json(certificate: Certificate) -> str:
    """Return the certificate for programs."""
    content = {
        "certificate": VERSION,
        "verdict": SAME if certificate.same else DIFFERS,
        "run": certificate.run.run_id,
        "name": certificate.run.name,
        "reproduced_by": certificate.by,
        "when": _time(certificate.when),
        "trials_there": certificate.of,
        "trials": [_trial(trial) for trial in certificate.trials],
        "causes": certificate.causes,
        "other_packages": list(certificate.packages),
        "then": _circumstances(certificate.then),
        "now": _circumstances(certificate.now),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _trial(trial: Comparison) -> dict[str, object]:
    parts = [
        {"part": part.name, "compared": part.compared, "equal": part.equal, "first_difference": part.first}
        for part in trial.parts
    ]
    return {
        "run": trial.trial.run_id,
        "name": trial.trial.name,
        "fingerprint": trial.trial.tags.get(tags.FINGERPRINT),
        "again": trial.again,
        "verdict": SAME if trial.same else DIFFERS,
        "parts": parts,
    }


def _circumstances(marks: dict[str, str]) -> dict[str, str | None]:
    return {tag: marks.get(tag) for tag in (*SAID_OF_NOW, tags.GIT_DIRTY)}


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def markdown(certificate: Certificate) -> str:
    """Return the certificate for people."""
    trials = Table(
        ("trial", "outcome", "compared"),
        [
            (one.trial.name, "the same" if one.same else f"differs: {difference(one)}", amounts(one))
            for one in certificate.trials
        ],
        words=("outcome", "compared"),
    )
    rows = [(what, _said(certificate.then, tag), _said(certificate.now, tag)) for tag, what in SAID_OF_NOW.items()]
    circumstances = Table(("what", "then", "now"), rows, words=("then", "now"))
    parts = [
        f"# Certificate of reproduction: {plain(certificate.run.name)}",
        f"**{plain(certificate.sentence)}**",
        f"Run `{certificate.run.run_id}`, trained again on {_time(certificate.when)} by run `{certificate.by}`. "
        "Numbers are compared as they are stored, to the last bit; of the losses of the steps six digits are stored. "
        "Times are not compared.",
        trials.markdown(),
        *_why(certificate),
        "## Then and now",
        circumstances.markdown(),
    ]
    if certificate.packages:
        parts += ["Packages with other versions: " + plain("; ".join(certificate.packages)) + "."]
    return "\n\n".join(parts) + "\n"


def _why(certificate: Certificate) -> list[str]:
    if certificate.same:
        return []
    causes = [f"- {plain(cause)}" for cause in certificate.causes]
    return ["## Why it may differ", "\n".join(causes) or NO_CAUSE]


def _said(marks: dict[str, str], tag: str) -> str:
    return commit_text(marks) if tag == tags.GIT_COMMIT else marks.get(tag, "not recorded")
