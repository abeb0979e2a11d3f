"""Ask a network to classify pictures or rows of features, or to explain how it classifies a test row."""

from entrypoints import display, options, program
from study.analysis.explanations import Reading
from study.base.errors import ConfigError
from study.data.picture_headers import SYNTHETIC
from study.inference import row_files
from study.reports import explanation_report, prediction_report
from study.workflows import predict
from study.workflows.predict import Answer

MOST_LINES = 60  # of a table on a terminal; the run has all of it


def run(
    *,
    image: str | None,
    row: str | None,
    indices: list[int],
    model: str,
    network: str | None,
    data: str | None,
    target: str | None,
    size: str | None,
    seed: int,
    count: int,
) -> None:
    """Ask what the options say."""
    asked = [name for name, value in (("image", image), ("row", row), ("index", indices)) if value]
    if len(asked) != 1:
        what = f"{' and '.join(asked)} are both given" if asked else "image, row and index are all missing"
        hint = (
            f"Give one: -P image=FILE, FOLDER or {SYNTHETIC} reads pictures, -P row=JSON or FILE takes features, -P "
            "index=1234 explains a test row."
        )
        raise ConfigError(what, hint=hint)
    rows = row_files.read_rows(row) if row else None
    question = predict.open_question(model, network)
    if rows:
        answer = question.read_rows(rows)
        _print_readings(answer)
    elif image is None:
        dataset = question.load_data(data, indices, target, size)
        display.warn_of_substitute(dataset, "this is not MNIST")
        answer = question.explain(dataset, indices)
        _print_explanations(answer)
    elif image == SYNTHETIC:
        answer = question.draw(count, seed)
        _print_table(answer)
    elif (path := predict.find_picture(str(image))).is_dir():
        answer = question.read_folder(path)
        _print_table(answer)
    else:
        answer = question.read_picture(path)
        _print_readings(answer)
    run_id, page = question.log(answer, options.given())
    program.say(f"Page: {page}")
    program.print_link(run_id)


def _print_readings(answer: Answer) -> None:
    if len(answer.readings) > 1:
        _print_table(answer)
    else:
        _print_reading(answer.readings[0])


def _print_reading(reading: Reading) -> None:
    program.say(prediction_report.sentence(reading))
    bars = prediction_report.bars(reading.probabilities, reading.classes)
    for line in [*bars, prediction_report.doubt_line(reading)]:
        if line:
            program.say(line)


def _print_explanations(answer: Answer) -> None:
    for one in answer.explanations:
        _print_reading(one.reading)
        program.say("\n".join(explanation_report.explanation_lines(one)))


def _print_table(answer: Answer) -> None:
    """Print the table of readings, of very many only those with a remark, the files not read, and the accuracy."""
    readings = answer.readings
    remarkable = [reading for reading in readings if reading.wrong or reading.reason]
    few = readings if len(readings) <= MOST_LINES else remarkable[:MOST_LINES]
    if few:
        display.print_table(program.console(), prediction_report.readings_table(few))
    if len(few) < len(readings):
        what = "pictures" if readings[0].picture is not None else "rows"
        program.say(f"{len(readings):,} {what}; {len(few)} with a remark are listed, predictions.csv has all of them.")
    for file, reason in answer.unreadable:
        display.warn(f"not read: {file}: {reason}")
    for line in answer.score_lines:
        program.say(line)
