"""Draw a digit in the browser, and see what the champion and any trials you choose predict."""

import os
import sys
from typing import Any

from entrypoints import options, program
from entrypoints.option_types import Boolean, Text, Whole
from entrypoints.options import CHAMPION, option

MOST_PORT = 65_535
OPTIONS = (
    option("model", CHAMPION, "The model shown first: its address in MLflow, or a trial's run ID. "
           "none: trials only.", Text(unless="none")),
    option("from", "none", "Run ID of the study whose trials are listed first, with one of each arm selected.",
           Text(unless="none"), "study"),
    option("port", "5055", "Port of the page, which only this machine can reach. auto: a free port.",
           Whole(MOST_PORT, auto=0)),
    option("open", "true", "true: open the page in the browser.", Boolean(), "opens"),
)  # fmt: skip


@options.command(__doc__, *OPTIONS)
def main(**given: Any) -> None:
    """Serve the page that the options name until Ctrl-C."""
    from entrypoints.commands import playground

    playground.run(**given)


if __name__ == "__main__":
    program.run(main)
    # All is written. Python would take TensorFlow down object by object, for seconds, and wait for requests in threads.
    sys.stdout.flush()
    os._exit(0)
