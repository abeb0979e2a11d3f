"""Ask a network to classify pictures or rows of features, or to explain how it classifies a test row."""

from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Indices, NetworkName, Text, Whole
from entrypoints.options import option
from study.data.picture_headers import SYNTHETIC

MOST_INDICES, MOST_DRAWINGS = 20, 10_000
OPTIONS = (
    option("image", "none", f"A picture file, a folder of pictures, or {SYNTHETIC} for generated drawings of digits.",
           Text(unless="none")),
    option("row", "none", "Features: a JSON object of named features, or the path of a .json or .csv file of rows.",
           Text(unless="none")),
    option("index", "none", "Test rows to explain, by number, such as 1234 or 3,17,200.",
           Indices(MOST_INDICES, "numbers of test rows"), "indices"),
    option("model", options.CHAMPION, "The network: a registered model, runs:/ID/model, or a trial's run ID."),
    option("network", "auto", "The file of the model's network: needed only if that has layers of its own. The file is "
           "then run. auto: as the record has it.", NetworkName()),
    options.data("For index: a dataset's name, or a file or folder of yours. auto: the data that the network was "
                 "trained on."),
    options.TARGET,
    options.SIZE,
    options.field("seed", f"For image={SYNTHETIC}: seed of the drawings."),
    option("count", "10", f"For image={SYNTHETIC}: number of drawings.", Whole(MOST_DRAWINGS, auto=10)),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Ask what the options say."""
    from entrypoints.commands import predict

    predict.run(**given)


if __name__ == "__main__":
    program.run(main)
