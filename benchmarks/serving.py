"""Compares the served model with MLflow's own flavor of the network, in turns, over HTTP: requests/s, images/s and n.

    python -m benchmarks.serving [DATA] [ROUNDS]

`mlflow models serve` serves both on this machine, which also makes the requests. Single images go to one worker over
one connection, one after the other. Batches of 100 go to two workers over six connections, so that both workers get
some; a worker that says it is busy is asked again. `image` is meant for pictures such as the 280×280 ones; MLflow's own
flavor takes only `pixels`. "no seen" is served with SERVING_MODEL_CONFIG='{"seen": false}'.
"""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import numpy as np

BATCH, CONNECTIONS = 100, 6
SECONDS = 2.0  # of requests, a measurement
GOALS = {"single": 100, "batch": 3_000}
ROWS = (("pixels", "ours"), ("pixels, no seen", "no seen"), ("28×28 PNG", "ours"), ("280×280 PNG", "ours"))


def main(data: str = "mnist", rounds: str = "5") -> None:
    """Print both tables."""
    from study.data.dataset import load_dataset

    dataset = load_dataset(data)
    bodies = {
        "pixels": [{"pixels": image.tolist()} for image in dataset.test.inputs[:BATCH]],
        "28×28 PNG": [{"image": _png(image)} for image in dataset.test.inputs[:BATCH]],
        "280×280 PNG": [
            {"image": _png(255 - image.repeat(10, 0).repeat(10, 1))} for image in dataset.test.inputs[:BATCH]
        ],
        "raw": dataset.test.inputs[:BATCH].tolist(),
    }
    bodies["pixels, no seen"] = bodies["pixels"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        ours, raw = _models(dataset, folder)
        for kind, workers, connections, size, unit in (
            ("single", 1, 1, 1, "requests/s"),
            ("batch", 2, CONNECTIONS, BATCH, "images/s"),
        ):
            with ExitStack() as stack:
                ports = {
                    name: stack.enter_context(_server(model, workers, seen))
                    for name, model, seen in (("ours", ours, True), ("no seen", ours, False), ("raw", raw, True))
                }
                print(f"\n{kind}: {unit}, {size} image(s) a request, {workers} worker(s), {connections} connection(s)")
                print(f"medians of n = {rounds}, with the range; goal {GOALS[kind]:,}\n")
                print(f"{'input':<18}{'ours':>24}{'Keras flavor':>24}{'ratio':>8}")
                for name, server in ROWS:
                    pairs = []
                    for _ in range(int(rounds)):
                        fast = _rate(ports[server], bodies[name][:size], connections)
                        pairs.append((fast, _rate(ports["raw"], bodies["raw"][:size], connections)))
                    left, right = ([pair[side] for pair in pairs] for side in (0, 1))
                    ratio = median(a / b for a, b in pairs)
                    print(f"{name:<18}{_spread(left):>24}{_spread(right):>24}{ratio:>8.1f}", flush=True)


def _spread(values: list[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def _png(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _models(dataset, folder: str) -> tuple[str, str]:
    from study.base.backend import to_bytes
    from study.inference import novelty
    from study.inference.contract import Contract
    from study.inference.serving import log_model
    from study.inference.serving.log_model import Served
    from study.tracking import runs, store
    from study.training import network
    from study.training.config import TrialConfig

    client = store.connect()
    run = runs.open_study_run(client, "serving")
    model = network.build(TrialConfig())  # its weights do not matter for its speed
    model.save(f"{folder}/network.keras")
    reference = novelty.fit(dataset.train.inputs[:10_000], dataset.train.labels[:10_000])
    served = Served(Path(folder, "network.keras").read_bytes(), Contract.of(dataset), reference.to_bytes())
    ours = log_model.log_served_model(client, run.run_id, served)
    run.log_model(to_bytes(model), (28, 28), 10)
    (raw,) = (model for model in client.search_logged_models(["0"]) if model.name == "model")
    return ours, raw.model_uri


@contextmanager
def _server(model: str, workers: int, seen: bool):
    """Serve a model on a free port, and yield the port once the server answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    environment = os.environ | {
        "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}",
        "SERVING_MODEL_CONFIG": json.dumps({"seen": seen}),
    }
    process = subprocess.Popen(
        [*words, "-p", str(port), "-w", str(workers)],
        env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(f"{model} could not be served")
                time.sleep(0.2)
        time.sleep(3 * (workers - 1))  # the first worker answers while the others still load
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _rate(port: int, items: list, connections: int) -> float:
    """Return how many images are answered in a second, over all connections together."""
    body = json.dumps({"inputs": items}).encode()
    end = time.perf_counter() + 0.3 + SECONDS

    def ask(_: int) -> list[float]:
        connection, times = HTTPConnection("127.0.0.1", port), []
        while time.perf_counter() < end:
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            if response.status == 503:  # busy: more than three large requests are with one worker
                time.sleep(0.05)
                continue
            if response.status != 200:
                sys.exit(f"{response.status}: {answer[:300]!r}")
            times.append(time.perf_counter())
        connection.close()
        return times

    with ThreadPoolExecutor(connections) as pool:
        times = sorted(moment for part in pool.map(ask, range(connections)) for moment in part)
    # Count from the first answer, because the time before it goes into connecting.
    return len(items) * (len(times) - 1) / (times[-1] - times[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
