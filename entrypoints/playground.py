"""Draw a digit on a page in the browser, and see at once what the champion and any trials read."""

import click

from entrypoints import shell
from study.base.errors import TrackingError
from study.inference.playground import app
from study.tracking import runs, store

MOST_PORT = 65_535
DEFAULTS = {
    "model": (
        "models:/mnist-mlp@champion",
        "The model that is asked first: its address in MLflow, or a trial's run ID; none: only trials.",
    ),
    "from": ("none", "Run ID of the study whose trials are offered first, one of each arm chosen."),
    "port": ("5055", "Where the page is, on this machine alone; auto: a free port."),
    "open": ("true", "true: open the page in the browser."),
}


@click.command(help=__doc__)
@shell.options(**DEFAULTS)
def main(**given: str) -> None:
    """Serve the page that the options name, until it is ended."""
    opens = shell.boolean("open", given["open"])
    port = shell.whole_number("port", given["port"], MOST_PORT) or 0
    with app.listen(port) as listener:
        client = store.connect()
        model = _model(shell.unless(given["model"], "none"))
        offered = app.Playground(client, model, shell.unless(given["from"], "none"))
        address = f"http://{app.ADDRESS}:{listener.getsockname()[1]}"
        runs.name_project_run("playground", {"address.txt": address})
        click.echo(f"{address}\nCtrl-C ends it.")
        if opens:
            app.browse(address)
        app.serve(offered, listener)


def _model(address: str | None) -> str | None:
    """Return the address where there is a model; the champion, which is not asked for by name, may be missing."""
    if address:
        try:
            app.check(address)
        except TrackingError as failure:
            if address != DEFAULTS["model"][0]:
                raise
            click.echo(f"No champion, only trials: {failure}")
            return None
    return address


if __name__ == "__main__":
    shell.run(main)
