"""Draw a digit in the browser, and see what the champion and any trials you choose predict."""

import os
import sys

from entrypoints.option_types import Boolean, Text, Whole
from entrypoints.options import CHAMPION, command, option
from entrypoints.program import run, say
from study.inference.playground import app
from study.tracking import runs, store

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


@command(__doc__, *OPTIONS)
def main(*, model: str | None, study: str | None, port: int, opens: bool) -> None:
    """Serve the page that the options name until Ctrl-C."""
    with app.listen(port) as listener:
        client = store.connect()
        playground = app.Playground(client, _present(client, model), study)
        address = f"http://{app.ADDRESS}:{listener.getsockname()[1]}"
        runs.name_project_run("playground", {"address.txt": address})
        say(f"{address}\nPress Ctrl-C to stop.")
        if opens:
            app.browse(address)
        app.serve(playground, listener)


def _present(client: store.MlflowClient, address: str | None) -> str | None:
    """Return the address if there is a model; in place of the default, which may be missing, another champion."""
    if address == CHAMPION:
        address = app.usual_model(client, CHAMPION)
        if address is None:
            say("No champion reads handwritten digits yet, so only trials are shown: mlflow run . -e promote")
        elif address != CHAMPION:
            say(f"There is no {CHAMPION}; {address} is shown.")
    if address:
        app.check(address)
    return address


if __name__ == "__main__":
    run(main)
    # All is written. Python would take TensorFlow down object by object, for seconds, and wait for requests in threads.
    sys.stdout.flush()
    os._exit(0)
