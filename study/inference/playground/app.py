"""Serves a page on loopback: you draw a digit, and several stored networks read it while you draw.

The page asks repeatedly. A separate thread opens networks, so that the page never waits for one: until a network is
open, its answer is that it is loading.
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
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import numpy as np
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from study.analysis.ablation_results import ACCURACY
from study.base.errors import StudyError, in_one_line, shown
from study.base.paths import RUN_VARIABLE
from study.data.picture_headers import ImageError, read_header
from study.inference import contract, doubt, preprocessing
from study.inference.contract import Contract
from study.tracking import records, registry, store, stored, tags
from study.tracking.records import RunRecord
from study.tracking.registry import Version

if TYPE_CHECKING:  # imports TensorFlow
    from study.inference.model import Reader

ADDRESS = "127.0.0.1"
PAGE = Path(__file__).with_name("page.html")
MOST_BYTES = 1_000_000  # of a request; a drawing has 5,000
MOST_WORK = 2_000_000  # of a drawing, in pixels as `picture_headers` counts them; the page's has 280 × 280
SECONDS_TO_SEND = 5  # in which a request has to be here
MOST_MODELS = 12  # chosen at a time, and open at a time
SECONDS_LISTED = 30  # for which the list of trials is kept: reading 400 of them takes a second or two
LEAST_SIDE = 5  # pixels; anything smaller cannot show a digit
GIVEN = "given"  # the id of the model that is given by its address, usually the champion
HEADERS = {
    # Load nothing from elsewhere, and let no other page embed this one.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}


class PlaygroundError(StudyError):
    """The page cannot be served, or a model cannot read the drawing."""


@dataclass(frozen=True)
class Model:
    """A model on offer: its id for the page, its names for people, and its validation accuracy."""

    id: str
    name: str
    arm: str
    accuracy: float | None


@dataclass(frozen=True)
class Group:
    """Models that belong together, such as a study's trials, and a note on those that are left out."""

    name: str
    models: tuple[Model, ...]
    note: str = ""


class Question(BaseModel):
    """The page's request: a drawing as base64 of a picture file, and the ids of the models that should read it."""

    image: str
    models: list[str] = Field(max_length=MOST_MODELS)


# --- the models on offer ----------------------------------------------------------------------------


def check(address: str) -> None:
    """Check that the model at `address`, or of the trial with this run ID, is there, and reads what can be drawn.

    Raises TrackingError, PlaygroundError.
    """
    with TemporaryDirectory() as folder:
        files = stored.download_model(address if ":/" in address else f"runs:/{address}/model", folder)
        text = next((path.read_text("utf-8") for path in files.rglob(contract.FILE)), None)
    if text and not Contract.from_json(text, address).handwriting:
        hint = "`mlflow run . -e predict` asks it."
        raise PlaygroundError("it does not read handwritten digits, and others cannot be drawn", where=address,
                              hint=hint)  # fmt: skip


def usual_model(client: store.MlflowClient, wanted: str) -> str | None:
    """Return the address of the champion to show first: the `wanted` one, or another that reads handwritten digits."""
    names = registry.champions(client)
    found = [name for name in names if is_drawn(registry.champion(client, name))]
    address = next((name for name in found if f"models:/{name}@{registry.CHAMPION}" == wanted), None) or next(
        iter(found), None
    )
    return address and f"models:/{address}@{registry.CHAMPION}"


def is_drawn(version: Version | None) -> bool:
    """Return whether a version reads handwritten digits; those of before there was anything else do."""
    return version is not None and version.tags.get(tags.DATASET_FORM, tags.HANDWRITING) == tags.HANDWRITING


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


def by_study(trials: Iterable[RunRecord], first: str | None) -> list[Group]:
    """Return trials grouped by study: the study `first`, then the newest first."""
    groups: dict[str | None, list[RunRecord]] = {}
    for trial in sorted(trials, key=lambda trial: trial.started):
        groups.setdefault(records.study_of(trial), []).append(trial)
    newest_first = sorted(groups, key=lambda study: (study != first, -groups[study][0].started))
    return [_group(study, groups[study]) for study in newest_first]


def _group(study: str | None, trials: Sequence[RunRecord]) -> Group:
    name = trials[0].tags.get(tags.STUDY, f"study {study[:8]}") if study else "trained by hand"
    pictures = [trial for trial in trials if _reads_digits(trial)]
    arms = list(dict.fromkeys(trial.tags.get(tags.ARM, trial.name) for trial in pictures))
    models = [
        Model(trial.run_id, trial.name, trial.tags.get(tags.ARM, trial.name), trial.metrics.get(ACCURACY.metric))
        for trial in sorted(pictures, key=lambda trial: _place(trial, arms))
    ]
    note = "" if pictures else "Its networks do not read handwritten digits, and others cannot be drawn."
    return Group(name, tuple(models), note)


def _reads_digits(trial: RunRecord) -> bool:
    usual = tags.PICTURES if trial.tags.get(tags.DATASET) == "synthetic" else tags.HANDWRITING
    return trial.tags.get(tags.DATASET_FORM, usual) == tags.HANDWRITING


def _place(trial: RunRecord, arms: Sequence[str]) -> tuple[int, int]:
    return arms.index(trial.tags.get(tags.ARM, trial.name)), int(trial.tags.get(tags.SEED, 0))


# --- the networks that are open ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Opened:
    """A network that is ready to read, with the score of how unlike the training images a drawing is."""

    reader: "Reader"
    score: Callable[[np.ndarray], tuple[list[float | None], list[str]]]

    def read(self, seen: np.ndarray) -> dict:
        """Return the probabilities, the label and the doubt of a digit in MNIST's form (28, 28).

        The doubt is None without a reference. Raises PlaygroundError.
        """
        image = scaled(seen, self.reader.takes.row_shape)[None]
        probabilities = self.reader.probabilities(image)[0]
        if not np.isfinite(probabilities).all():
            raise PlaygroundError("its answer is not a number")
        doubts, reasons = self.score(image)
        return {
            "probabilities": [round(float(value), 6) for value in probabilities],
            "label": int(probabilities.argmax()),
            "doubt": None if doubts[0] is None else round(float(doubts[0]), 4),
            "reason": reasons[0],
        }


def scaled(seen: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a digit (28, 28) of uint8 scaled to a network's input; raises PlaygroundError if that is not a picture."""
    if len(shape) != 2 or min(shape) < LEAST_SIDE:
        raise PlaygroundError(f"it reads {'×'.join(map(str, shape))} numbers, which are no picture")
    if shape == seen.shape:
        return seen
    return np.asarray(Image.fromarray(seen).resize(shape[::-1], Image.Resampling.BILINEAR))


def open_network(address: str) -> Opened:
    """Return the network at `address`, or of the trial with this run ID; raises TrackingError."""
    from study.inference.model import open_model  # imports TensorFlow: ten seconds, in which the page is already up

    found = open_model(address)
    return Opened(found, doubt.scorer(found.reference, found.takes.no_doubt))


class Shelf:
    """Keeps the open networks, at most MOST_MODELS of them; the least recently used one makes room."""

    def __init__(self) -> None:
        self._futures: OrderedDict[str, Future[Opened]] = OrderedDict()
        self._waiting: SimpleQueue[tuple[str, Future[Opened]]] = SimpleQueue()
        self._lock = threading.Lock()
        # A daemon: the end of the program does not wait for TensorFlow's import.
        threading.Thread(target=self._work, name="opens models", daemon=True).start()

    def get(self, address: str) -> "Future[Opened]":
        """Return the network at `address`, now or in a while: it is opened if it is not yet."""
        with self._lock:
            if address not in self._futures:
                self._futures[address] = Future()
                self._waiting.put((address, self._futures[address]))
            self._futures.move_to_end(address)
            while len(self._futures) > MOST_MODELS:
                self._futures.popitem(last=False)[1].cancel()
            return self._futures[address]

    def _work(self) -> None:
        while True:
            address, future = self._waiting.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(open_network(address))
            except Exception as failure:
                future.set_exception(failure)


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
