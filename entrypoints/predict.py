"""Ask a network what digits pictures show, or why it reads a test image as it does."""

from pathlib import Path

import click

from entrypoints import display, shell
from study.analysis.explanations import Reading, scores
from study.base.errors import ConfigError, shown
from study.inference import predict
from study.reports import prediction_report
from study.reports.plots import style
from study.tracking import store
from study.tracking.registry import Version
from study.workflows.predict import Answer, log

MOST_IMAGES, MOST_DRAWINGS, MOST_SEED = 20, 10_000, 2**31 - 1
MOST_LINES = 60  # of a table on a terminal; the run has all of it
DEFAULTS = dict(
    image=("none", "A picture file, a folder of them, or synthetic: digits that are drawn for it."),
    index=("none", "Numbers of test images to explain, such as 1234 or 3,17,200."),
    model=("models:/mnist-mlp@champion", "The network: one of the registry, runs:/ID/model, or a trial's run ID."),
    data=("auto", "For index: mnist, digits, or the path of an .npz file; auto: what the network was trained on."),
    seed=("1", "For image=synthetic: decides the drawings."),
    count=("10", "For image=synthetic: how many drawings."),
)


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Ask what the options say."""
    image, index = (shell.unless(given[name], "none") for name in ("image", "index"))
    if (image is None) == (index is None):
        what = "image and index are both missing" if image is None else "image and index are both given"
        hint = "Give one: -P image=FILE, FOLDER or synthetic reads pictures, -P index=1234 explains a test image."
        raise ConfigError(what, hint=hint)
    # Whatever can be wrong is found before TensorFlow is imported, which takes ten seconds.
    seed = shell.whole_number("seed", given["seed"], MOST_SEED) or int(DEFAULTS["seed"][0])
    count = shell.whole_number("count", given["count"], MOST_DRAWINGS) or int(DEFAULTS["count"][0])
    indices = _indices(index) if index else []
    client = store.connect()
    version = predict.find_version(client, given["model"])
    facts = [("model", given["model"])]
    if version:
        facts += [("version", version.number), ("trained on", version.tags.get("dataset", "not recorded"))]
    if index:
        answer = _explain(client, given, version, indices, facts)
    elif image != "synthetic" and not Path(image).expanduser().is_dir():
        answer = _read_one(given, Path(image).expanduser(), facts)
    else:
        answer = _read_many(given, count, seed, facts)
    run_id, page = log(client, answer, given, version)
    click.echo(f"Page: {page}")
    click.echo(f"Run {run_id}: `mlflow ui` shows it.")


def _indices(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words) or len(words) > MOST_IMAGES:
        expected = f"up to {MOST_IMAGES} numbers of test images, such as 1234 or 3,17,200"
        raise ConfigError(f"index cannot be {shown(text)}", expected=expected)
    return list(dict.fromkeys(map(int, words)))


def _open(model: str):
    from study.inference.model import open_model  # imports TensorFlow

    return open_model(model)


def _read_one(given: dict[str, str], path: Path, facts: list[tuple[str, str]]) -> Answer:
    picture = predict.open_file(path)
    (reading,) = predict.read(_open(given["model"]), [picture])
    _print_reading(reading)
    metrics = {"probability": reading.probability} | ({} if reading.doubt is None else {"doubt": reading.doubt})
    files = {"reading.png": style.png(prediction_report.reading_figure(reading))}
    document = prediction_report.picture_page(reading, [("picture", str(path)), *facts])
    return Answer(f"predict {reading.name}", document, [reading], files, metrics)


def _read_many(given: dict[str, str], count: int, seed: int, facts: list[tuple[str, str]]) -> Answer:
    if given["image"] == "synthetic":
        pictures, unreadable, where = predict.draw(count, seed), [], f"drawings, seed {seed}"
    else:
        folder = Path(given["image"]).expanduser()
        (pictures, unreadable), where = predict.open_folder(folder), f"pictures in {folder.resolve().name}"
    readings = predict.read(_open(given["model"]), pictures)
    found = scores(readings)
    _print_rows(readings)
    for file, reason in unreadable:
        display.warn(f"not read: {file}: {reason}")
    for line in prediction_report.score_lines(found) if found else []:
        click.echo(line)
    document = prediction_report.folder_page(
        f"{len(readings):,} {where}", readings, unreadable, found, [("pictures", given["image"]), *facts]
    )
    metrics = {"pictures": len(readings), "unreadable": len(unreadable)} | (
        {"accuracy": found.accuracy} if found else {}
    )
    files = {f"{name}.png": style.png(sheet) for name, sheet in prediction_report.sheets(readings).items()}
    return Answer(f"predict {where}", document, readings, files, metrics)


def _print_rows(readings: list[Reading]) -> None:
    """Print the table of readings; of very many those that have a remark."""
    rows = prediction_report.rows(readings)
    few = rows if len(rows) <= MOST_LINES else [row for row in rows if row[-1]][:MOST_LINES]
    if few:
        display.print_table(shell.console(), prediction_report.COLUMNS, few, words=("remark",))
    if len(few) < len(rows):
        click.echo(f"{len(rows):,} pictures; listed are those with a remark ({len(few)}), predictions.csv has all.")


def _explain(
    client: store.MlflowClient,
    given: dict[str, str],
    version: Version | None,
    indices: list[int],
    facts: list[tuple[str, str]],
) -> Answer:
    dataset = predict.load_data(client, given["model"], version, shell.unless(given["data"], "auto"))
    display.warn_of_substitute(dataset, "this is not MNIST")
    predict.check_indices(indices, dataset)
    explanations = predict.explain(_open(given["model"]), dataset, indices)
    files = {}
    for one in explanations:
        _print_reading(one.reading)
        click.echo("\n".join(prediction_report.explanation_lines(one)))
        figure = prediction_report.reading_figure(one.reading, own_picture=False)
        files[f"reading_{one.index}.png"] = style.png(figure)
    facts = [*facts, ("data", f"{dataset.title}, SHA-256 {dataset.sha256}")]
    document = prediction_report.explanation_page(explanations, dataset, facts)
    readings = [one.reading for one in explanations]
    return Answer(f"predict test image {given['index']}", document, readings, files, {})


def _print_reading(reading: Reading) -> None:
    click.echo(prediction_report.sentence(reading))
    for line in [*prediction_report.bars(reading.probabilities), prediction_report.doubt_line(reading)]:
        if line:
            click.echo(line)


if __name__ == "__main__":
    shell.run(main)
