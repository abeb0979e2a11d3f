"""Serves a page on loopback: you draw a digit, and several stored networks read it while you draw.

The page asks repeatedly. Until a network is open, its answer is that it is loading.
"""

import asyncio
import base64
import binascii
import contextlib
import os
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field, ValidationError

from study.base.errors import StudyError, in_one_line, shown
from study.base.paths import RUN_VARIABLE
from study.data.picture_headers import ImageError, read_header
from study.inference import preprocessing
from study.inference.playground.offered import Group, Model, by_study
from study.inference.playground.shelf import MOST_MODELS, PlaygroundError, Shelf
from study.tracking import records, store

ADDRESS = "127.0.0.1"
PAGE = Path(__file__).with_name("page.html")
MOST_BYTES = 1_000_000  # of a request; a drawing has 5,000
MOST_WORK = 2_000_000  # of a drawing, in pixels as `picture_headers` counts them; the page's has 280 × 280
SECONDS_TO_SEND = 5  # in which a request has to be here
SECONDS_LISTED = 30  # for which the list of trials is kept: reading 400 of them takes a second or two
GIVEN = "given"  # the id of the model that is given by its address, usually the champion
HEADERS = {
    # Load nothing from elsewhere, and let no other page embed this one.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}


class Question(BaseModel):
    """The page's request: a drawing as base64 of a picture file, and the ids of the models that should read it."""

    image: str
    models: list[str] = Field(max_length=MOST_MODELS)


class Playground:
    """Lists the models on offer and answers for them: the model at `address`, if any, and the store's trials.

    The trials of the run `study`, if given, come first. Raises TrackingError if there is no such run, and
    PlaygroundError if it has no trials or nothing is on offer.
    """

    def __init__(self, client: store.MlflowClient, address: str | None, study: str | None):
        self._client, self._address, self._study = client, address, study
        self._shelf = Shelf()
        self._groups: list[Group] = []
        self._listed = float("-inf")
        if study and not any(group.models for group in by_study(records.find_trials(client, study, None), study)):
            hint = "`mlflow ui` shows the studies' run IDs."
            raise PlaygroundError("the run has no finished trials that read handwritten digits", where=study, hint=hint)
        if not any(group.models for group in self.groups()):
            hint = "`mlflow run . -e ablation` trains some."
            raise PlaygroundError("there is neither a champion nor a finished trial", hint=hint)

    def groups(self) -> list[Group]:
        """Return the models on offer: the champion, then each study's trials, the newest study first."""
        if time.monotonic() - self._listed > SECONDS_LISTED:
            of_study = records.find_trials(self._client, self._study, None) if self._study else []
            trials = {trial.run_id: trial for trial in [*of_study, *records.find_trials(self._client, None, None)]}
            self._groups = by_study(trials.values(), self._study)
            if self._address:
                given = Model(GIVEN, self._address.removeprefix("models:/"), GIVEN, None)
                name = "champion" if self._address.endswith("@champion") else "the model that was asked for"
                self._groups.insert(0, Group(name, (given,)))
            self._listed = time.monotonic()
        return self._groups

    def chosen(self) -> list[str]:
        """Return the ids of the models that the page shows first: the champion, and one of each arm of the study."""
        models = [model for group in self.groups() for model in group.models]
        if not self._study:
            return [models[0].id]
        own = self._groups[1 if self._address else 0].models
        one_of_each_arm = {model.arm: model.id for model in reversed(own)}
        return [*([GIVEN] if self._address else []), *reversed(one_of_each_arm.values())][:MOST_MODELS]

    def read(self, question: Question) -> dict:
        """Return the drawing as the networks see it, (28, 28), and each network's answer.

        An answer is probabilities, label and doubt, or that the network is loading, or an error. Raises HTTPException.
        """
        # Use the list as it was last read, so that a drawing does not wait for it.
        offered = {model.id for group in self._groups for model in group.models}
        for model in question.models:
            if model not in offered:
                raise HTTPException(404, f"There is no model {shown(model)} here.")
        try:
            content = base64.b64decode(question.image, validate=True)
        except (binascii.Error, ValueError):
            raise HTTPException(400, "image is not base64.") from None
        try:
            work = read_header(content).work
            if work > MOST_WORK:
                expected = f"at most {MOST_WORK:,} pixels, scans and transparency counted"
                raise ImageError("too large for a drawing", expected=expected, got=f"{work:,}")
            seen = preprocessing.read(content)
        except ImageError as failure:
            raise HTTPException(400, f"image: {failure}") from None
        answers = [{"id": model, **self._answer(model, seen)} for model in question.models]
        return {"seen": seen.tolist(), "models": answers}

    def _answer(self, model: str, seen: np.ndarray) -> dict:
        future = self._shelf.get((self._address or "") if model == GIVEN else model)
        if not future.done():
            return {"state": "loading"}
        try:
            return {"state": "read", **future.result().read(seen)}
        except Exception as failure:  # of one model: the others still answer
            return {"state": "failed", "error": in_one_line(failure)}


# --- the server -------------------------------------------------------------------------------------


def application(playground: Playground) -> FastAPI:
    """Return the web application: ``GET /``, ``GET /models``, ``POST /read``; errors are ``{"detail": …}``.

    Host names other than 127.0.0.1 and localhost are refused, because another site could point its name here. Other
    pages that are open in the browser may link to the page, and make it do nothing else.
    """
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"], www_redirect=False)

    @app.exception_handler(StudyError)
    def say(request: Request, failure: StudyError) -> JSONResponse:
        return JSONResponse({"detail": str(failure)}, status_code=503)  # the store is gone

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text("utf-8"), headers=HEADERS)

    @app.get("/models", dependencies=[Depends(_own_page)])
    def models() -> dict:
        return {"groups": playground.groups(), "chosen": playground.chosen(), "most": MOST_MODELS}

    @app.post("/read", dependencies=[Depends(_own_page)])
    def read(question: Annotated[Question, Depends(_question)]) -> dict:
        return playground.read(question)

    return app


async def _own_page(request: Request) -> None:
    """Raise HTTPException if a browser says that another page sent the request; programs say nothing."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    own = f"http://{request.headers['host']}"
    # Of a typed address the site is "none"; another port of this machine is "same-site", and is another page.
    if site not in ("same-origin", "none") or (origin or own).lower() != own.lower():
        raise HTTPException(403, "Only the playground's own page may ask.")


async def _question(request: Request) -> Question:
    # A form of another site can send text, but not this type without asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "A request must have the content type application/json.")
    try:
        async with asyncio.timeout(SECONDS_TO_SEND):
            body = await _body(request)
    except TimeoutError:
        raise HTTPException(408, f"A request must be here within {SECONDS_TO_SEND} seconds.") from None
    try:
        return Question.model_validate_json(body)
    except ValidationError as failure:
        problem = failure.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the request"
        raise HTTPException(422, f"{where}: {problem['msg']}.") from None


async def _body(request: Request) -> bytes:
    # FastAPI's own parsing takes a body of any size and reports errors in lists.
    body = bytearray()  # joining bytes takes minutes if the megabyte comes in parts of one byte
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"A request may have at most {MOST_BYTES:,} bytes.")
    return bytes(body)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on loopback on this port, or on a free one for 0; raises PlaygroundError."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that the last server's port is free at once
    try:
        listener.bind((ADDRESS, port))
        listener.listen()
    except OSError as failure:
        listener.close()
        hint = "Use another one, or port=auto for a free one."
        raise PlaygroundError(f"cannot use this port ({failure.strerror})", where=f"port {port}", hint=hint) from None
    return listener


def browse(address: str) -> None:
    """Open a browser at `address`, if there is a screen."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        return  # a text browser would take over the terminal
    # In a thread, because some browsers return only when they are closed.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def server(playground: Playground) -> uvicorn.Server:
    """Return the server, not yet running; setting its `should_exit` ends it."""
    config = uvicorn.Config(
        application(playground), log_config=None, access_log=False, lifespan="off", server_header=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    return uvicorn.Server(config)


def serve(playground: Playground, listener: socket.socket) -> None:
    """Answer on the listening socket until Ctrl-C, SIGTERM or the end of the `mlflow run` that started it."""
    running = server(playground)
    if RUN_VARIABLE in os.environ:
        threading.Thread(target=_end_with_parent, args=(running, os.getppid()), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn shuts down cleanly and then raises the signal again
        running.run(sockets=[listener])


def _end_with_parent(running: uvicorn.Server, parent: int) -> None:
    # `mlflow run` does not end its child when it ends.
    while os.getppid() == parent:
        time.sleep(0.5)
    running.should_exit = True
