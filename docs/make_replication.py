"""Train the settings of the reports that the catalogue follows, and set their figures beside ours.

    python -m docs.make_replication DATA SEEDS [TASK …]

trains every arm of the tasks whose reports give figures, with seeds 1 to SEEDS, and adds what it measures to
docs/replication.csv; a trial that is there already is not trained again. `python -m docs.make_reference` writes
docs/replication.md from that file.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from study.analysis.formatting import show
from study.analysis.statistics import Estimate, estimate
from study.design.ablation import Ablation, catalogue, load_ablation
from study.design.origin import KINDS, number_text
from study.training.config import TrainingConfig
from study.training.early_stopping import Plateau
from study.training.fingerprint import training_code_version

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "docs" / "replication.csv"
COLUMNS = ("task", "arm", "seed", "epochs", "train_accuracy", "val_accuracy", "test_accuracy", "train_cost", "val_cost",
           "seconds", "kernel_means", "kernel_sds", "data_sha256", "training_code")  # fmt: skip
# One run each, by hand. What each of them trains and concludes is in the tasks that follow it.
REPORTS = {
    "S0": "a notebook of ten tasks: a Keras network of 784-128-10 on MNIST, trained by Adam for five epochs. It "
    "concludes in words and gives next to no figures.",
    "S1": "a second notebook with the same ten tasks and settings.",
    "S2": "a network of 784-20-7-5-10 written from scratch: mini-batch gradient descent, L2, batch normalization.",
    "S3": "a Keras network with two hidden layers on Kaggle's MNIST file: Adam, dropout, normalization.",
    "S4": "a sigmoid network with one hidden layer written from scratch, on generated data and on MNIST.",
}
Row = dict[str, str]


def main(data: str, seeds: str, *only: str) -> None:
    """Train what is missing, and write each trial into docs/replication.csv as soon as it is there."""
    done = {(row["task"], row["arm"], row["seed"]) for row in measured()}
    for task in only or [task for task in catalogue() if load_ablation(task).origin.reported]:
        for row in _trained(load_ablation(task), data, int(seeds), done):
            with MEASURED.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                if not file.tell():
                    writer.writeheader()
                writer.writerow(row)
            print(*(row[name] for name in COLUMNS[:10]), flush=True)


def _trained(ablation: Ablation, data: str, seeds: int, done: set[tuple[str, str, str]]) -> Iterator[Row]:
    from study.data.dataset import load_dataset
    from study.training import loop, network, program  # imports TensorFlow, which the page does not need
    from study.training.metrics import evaluate

    dataset = load_dataset(data, ablation.baseline.data.validation)
    code = training_code_version()[:12]  # a commit's name is another one after a rebase
    for spec in ablation.trial_specs(seeds, dataset):
        if (ablation.task, spec.arm, str(spec.config.seed)) in done:
            continue
        # The reports' runs took all of their steps, whatever their rule. To measure the validation loss every hundred
        # steps would take four times as long as the steps.
        config = spec.config.replace({"validate_every": None, "patience_steps": None})
        result = loop.train(config, dataset)
        model = network.build(config, network.Rows.of(dataset))
        model.set_weights(result.weights)
        if _would_stop(spec.config.training, [epoch.val_loss for epoch in result.epochs], len(dataset.train)):
            print(f"{spec.name}: the rule may have ended this one early", flush=True)
        scores = {
            f"{kind}_accuracy": 100 * evaluate(program.logits(model, rows.inputs), rows.labels).accuracy
            for kind, rows in (("train", dataset.train), ("val", dataset.validation), ("test", dataset.test))
        }
        kernels = [weights for weights in result.weights if weights.ndim == 2]
        values = {
            **scores, "train_cost": result.epochs[-1].loss, "val_cost": result.epochs[-1].val_loss,
            "seconds": result.train_seconds,
        }  # fmt: skip
        yield {
            "task": ablation.task, "arm": spec.arm, "seed": str(config.seed), "epochs": str(len(result.epochs)),
            **{name: f"{value:.6g}" for name, value in values.items()},
            "kernel_means": " ".join(f"{kernel.mean():.4g}" for kernel in kernels),
            "kernel_sds": " ".join(f"{kernel.std():.4g}" for kernel in kernels),
            "data_sha256": dataset.sha256[:12], "training_code": code,
        }  # fmt: skip


def _would_stop(limits: TrainingConfig, val_losses: list[float], rows: int) -> bool:
    """Return whether `patience_steps` would have ended a training, as far as its epochs' last losses can tell."""
    plateau = Plateau(limits.patience_steps, limits.min_delta)
    for loss in val_losses:
        plateau.update(-(-rows // limits.batch_size), loss)
        if plateau.stop:
            return True
    return False


def measured() -> list[Row]:
    """Return the trials that have been trained, as docs/replication.csv has them."""
    if not MEASURED.is_file():
        return []
    with MEASURED.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- the page ---------------------------------------------------------------------------------------


def page(note: str) -> str:
    """Return docs/replication.md: what the five reports are, and each of their figures beside ours."""
    rows = measured()
    tasks = [ablation for ablation in map(load_ablation, catalogue()) if ablation.origin.source]
    figures = [ablation for ablation in tasks if ablation.origin.reported]
    parts = [
        "# Replication",
        note,
        "The catalogue follows five student reports, S0 to S4. Each of them trained every setting once, by hand. Here "
        "are the figures that they give, beside those of the same settings trained by this project with several seeds.",
        _table(("report", "what it is"), [(f"**{name}**", text) for name, text in REPORTS.items()]),
        f"Ours: mean and 95 % interval of the mean (Student's t) over n seeds, {len(rows)} trials in all, each in "
        "[replication.csv](replication.csv) with its seed and with hashes of its data and of the code that trained it. "
        "Accuracies are those of the weights at the end, without dropout; costs are those of the last epoch, penalty "
        "included; times are those of one core of a busy machine. **Bold** is a figure that a single run of ours "
        "would hardly give: it lies outside the range in which 95 of 100 single runs lie, as far as n > 1 seeds tell, "
        "even if the report rounded it by half of its last digit.",
        "S2's runs took all of their steps. So ours do too: they were trained without the rule that may end a training "
        "within an epoch (`patience_steps`). By the losses at the ends of the epochs it would have ended only "
        "arms with Keras's 0.01.",
    ]
    for ablation in figures:
        own = [row for row in rows if row["task"] == ablation.task]
        parts += [f"## {ablation.task}", ablation.question]
        parts += ["\n".join(f"- **{title}:** {text}" for title, _, text in (line.partition(": ") for line in
                                                                       ablation.origin.lines))]  # fmt: skip
        lines = list(_side_by_side(ablation, own))
        theirs = [line[2] for line in lines if line[2] != "–"]
        far = sum(text.startswith("**") for text in theirs)
        figures_of = "its one figure" if len(theirs) == 1 else f"its {len(theirs)} figures"
        parts.append(f"Outside what a single run of ours gives: {far} of {figures_of}.")
        parts.append(_table(("arm", "figure", "the report's", "ours", "n"), lines))
    parts += [
        "## Claims without figures",
        "What these reports conclude in words has its verdict in [Findings](findings.md).",
    ]
    claims = [(f"[`{each.task}`](findings.md#{each.task})", each.origin.source, each.origin.claims)
              for each in tasks if each.origin.claims and not each.origin.reported]  # fmt: skip
    parts.append(_table(("task", "follows", "the report's claim"), claims))
    return "\n\n".join(parts) + "\n"


def _side_by_side(ablation: Ablation, rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each figure of a report, and then one for each arm that is ours alone."""
    for entry in ablation.origin.reported:
        for kind, theirs in entry.figures.items():
            numbers = theirs if isinstance(theirs, tuple) else (theirs,)
            ours = _values(kind, ablation, rows, entry.arm)
            title, unit = KINDS[kind]
            for place, number in enumerate(numbers):
                figure = title.replace("each kernel", f"kernel {place + 1}") + f" ({unit})" * bool(unit)
                yield _row(entry.arm, figure, number, ours[:, place], compared=kind != "seconds")
    known = {entry.arm for entry in ablation.origin.reported}
    for arm in ablation.arms:
        if arm.name not in known:
            ours = _values("test_accuracy", ablation, rows, arm.name)
            yield _row(arm.name, "test accuracy (%)", None, ours[:, 0])


def _row(arm: str, figure: str, theirs: float | None, ours: np.ndarray, compared: bool = True) -> tuple[str, ...]:
    value = estimate(ours) if len(ours) else None
    text = number_text(theirs).replace("-", "−") if theirs is not None else "–"
    if theirs is not None and value and compared and _is_far(theirs, ours, value):
        text = f"**{text}**"
    return arm, figure, text, show(value), str(len(ours))


def _is_far(theirs: float, ours: np.ndarray, value: Estimate) -> bool:
    """Return whether a report's figure lies outside the 95 % prediction interval of ours: mean ± t · s · √(1 + 1/n).

    It may be off by half of its last digit.
    """
    _, _, decimals = number_text(theirs).partition(".")
    beyond = abs(theirs - value.mean) - 0.5 * 10.0 ** -len(decimals)
    return len(ours) > 1 and beyond > value.half_width * np.sqrt(len(ours) + 1)


def _values(kind: str, ablation: Ablation, rows: list[Row], arm: str) -> np.ndarray:
    """Return what was measured of an arm, a row a seed: (n, 1), or (n, kernels)."""
    own = {row["seed"]: row for row in rows if row["arm"] == arm}
    if kind == "difference":
        other = {row["seed"]: row for row in rows if row["arm"] == ablation.reference.name}
        found = [[float(row["val_accuracy"]) - float(other[seed]["val_accuracy"])] for seed, row in own.items()
                 if seed in other]  # fmt: skip
    else:
        found = [[float(word) for word in row[kind].split()] for row in own.values()]
    return np.array(found) if found else np.empty((0, 99))


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *rows))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
