"""Draw a digit in the browser, and see what the champion and any trials you choose predict."""

from entrypoints.options import CHAMPION
from entrypoints.program import say
from study.inference.playground import app, offered
from study.tracking import runs, store


def run(*, model: str | None, study: str | None, port: int, opens: bool) -> None:
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
        address = offered.usual_model(client, CHAMPION)
        if address is None:
            say("No champion reads handwritten digits yet, so only trials are shown: mlflow run . -e promote")
        elif address != CHAMPION:
            say(f"There is no {CHAMPION}; {address} is shown.")
    if address:
        offered.check(address)
    return address
