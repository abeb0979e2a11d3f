"""Attacks that once got through, and a sample of those that never did; SECURITY.md says what is trusted."""

import base64
import io
import itertools
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT
from rich.console import Console

from entrypoints import ablation, display, program, worker
from study.analysis.explanations import Reading
from study.base.errors import StudyError
from study.data.dataset import load_dataset
from study.design.ablation import load_ablation
from study.design.search_space import load_space
from study.execution.queue import Progress
from study.inference.predict import open_file, open_folder
from study.reports import prediction_report
from study.reports.table import Table
from study.tracking import store as stores
from study.workflows.predict import find_picture

PICTURES = ROOT / "tests" / "pictures"

# --- requests to the served model and the playground ------------------------------------------------


# --- the queue's database ---------------------------------------------------------------------------


# --- artifacts and the MLflow store -----------------------------------------------------------------


# --- files that a person names ----------------------------------------------------------------------


READERS = {
    "data": load_dataset, "task": load_ablation, "space": load_space, "picture": find_picture,
    "picture of a folder": open_file,
}  # fmt: skip


@pytest.fixture
def alarm() -> Iterator[None]:
    """End a test that would read for ever."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("what", READERS)
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a socket"])
def test_what_is_no_regular_file_is_refused_at_once(what, kind, tmp_path, alarm):
    path = tmp_path / "x.yaml"
    with socket.socket(socket.AF_UNIX) as listening:
        if kind == "a pipe":
            os.mkfifo(path)
        elif kind == "a socket":
            listening.bind(str(path))
        else:
            path.symlink_to("/dev/zero")
        with pytest.raises(StudyError) as error:
            READERS[what](path if what == "picture of a folder" else str(path))
    assert str(error.value) == f"{path}: {kind}; expected a file."


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize("text, message", [
    (BOMB, "x.yaml:1: aliases and anchors, * and &, are not read here."),
    (f"question: why?\nknown: {'{x: ' * 40_000}", "x.yaml:2: more than 20 levels."),
    (f"question: why?\nknown: {'x' * 10**6}", "x.yaml: the file is too large; expected at most 200 kB."),
    ("question: why?\narms:\n  grid:\n" + "".join(f"    {field}: [{', '.join(map(str, range(1, 101)))}]\n"
                                                 for field in ("hidden", "batch_size", "patience", "l2")),
     "x.yaml:2: too many arms; expected at most 1,000, got 100,000,000."),
    ("question: why?\nbaseline: {hidden: !!python/object/apply:os.system ['touch x']}\narms: {grid: {l2: [0, 1]}}\n",
     "x.yaml:2: tags, such as !!int, are not read here."),
])  # fmt: skip
def test_a_small_task_file_costs_little_time_and_memory(text, message, tmp_path, alarm):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(StudyError) as error:
        load_ablation(str(tmp_path / "x.yaml"))
    assert str(error.value) == f"{tmp_path}/{message}"


def test_a_data_file_that_holds_more_than_the_memory_is_refused_by_its_headers(tmp_path, monkeypatch):
    """The file of the hunt was of 9.7 MB and held 10 GB; this one is smaller, and so is the memory."""
    path, rows = tmp_path / "bomb.npz", 2_000
    images, labels = np.zeros((rows, 100, 100), np.uint8), np.arange(rows) % 2
    np.savez_compressed(path, x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])
    monkeypatch.setattr("study.data.npz.memory_available", lambda: 10**7)
    with pytest.raises(StudyError, match=r"need more memory than is free; expected at most 0.01 GB, got 0.02 GB\.$"):
        load_dataset(str(path))
    assert path.stat().st_size < 50_000


@pytest.mark.parametrize(
    "content", [b"PK\x05\x06" + bytes(18), b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04.", bytes(1_000)]
)
def test_bytes_that_are_no_dataset_are_an_error_in_one_line(content, tmp_path):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(StudyError) as error:
        load_dataset(str(tmp_path / "x.npz"))
    assert "\n" not in str(error.value)


# --- text that reports, terminals and MLflow show ---------------------------------------------------


ESCAPE = "\x1b]0;owned\x07\x1b[2J"
SHOWN = r"\x1b]0;owned\x07\x1b[2J"


def test_a_name_cannot_command_the_terminal_nor_rich(capsys):
    text = io.StringIO()
    console = Console(file=text, width=300, force_terminal=True, color_system=None)
    display.print_table(console, Table(("file",), [(f"{ESCAPE}[red]x[/red]",), ("[/nothing]",)]))
    trial = Progress(0, f"{ESCAPE}[/x]", "RUNNING", 1, 5, 0.5, None, settings=f"{ESCAPE}[/y]")
    console.print(display.Display(console, None)._picture([trial], 0))
    display.write(console, f"{ESCAPE}[/z]")
    program.say(ESCAPE)
    display.warn(ESCAPE)
    shown, printed = text.getvalue(), "".join(capsys.readouterr())
    assert "\x1b" not in shown + printed and printed.count(SHOWN) == 2
    for line in (f"{SHOWN}[red]x[/red]", "[/nothing]", f"{SHOWN}[/x]", f"{SHOWN}[/y]", f"{SHOWN}[/z]"):
        assert line in shown


def test_pictures_of_any_name_are_read_and_shown(tmp_path):
    picture = (PICTURES / "3_clear_05.gif").read_bytes()
    names = [b"3_\xff\xfe.gif", b"3_\x1b[2J.gif", "3_\u202egnp.gif".encode(), b"3_$\\frac{1}$ <img src=x>.gif"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(picture)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/4_\xff.png")).write_bytes(b"none")
    read, unreadable = open_folder(tmp_path)
    assert [name for name, *_ in read] == [
        r"3_\x1b[2J.gif", r"3_$\frac{1}$ <img src=x>.gif", r"3_\u202egnp.gif", r"3_\xff\xfe.gif",
    ]  # fmt: skip
    assert [name for name, _ in unreadable] == [r"4_\xff.png"] and str(tmp_path) not in unreadable[0][1]
    readings = [Reading(name, picture, seen, np.eye(10)[3], None, "", truth) for name, picture, seen, truth in read]
    page = prediction_report.folder_page("pictures", readings, unreadable, None, [])
    files = page.written("predict") | {"table.csv": prediction_report.readings_table(readings).csv()}
    assert all(content.encode() for content in files.values()) and "<img" not in files["predict.html"]


# --- passwords --------------------------------------------------------------------------------------


PASSWORD = "geh/eim"


@pytest.fixture
def locked_server(monkeypatch) -> Iterator[str]:
    """The address of a server in MLflow's place that answers only to the user `me` with the password `geheim`."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            login = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
            known = self.path == "/health" or self.headers.get("Authorization") == f"Basic {login}"
            body = json.dumps({"experiments": []}).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *words: object) -> None:
            pass

    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "of another server")
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_tracking_server_with_a_password_in_its_address_works_and_the_password_is_nowhere(locked_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:geh%2Feim@{locked_server}")
    client = stores.connect()
    assert client.search_experiments() == []
    assert {client.tracking_uri, stores.tracking_uri(), stores.shown_uri()} == {f"http://{locked_server}"}


@pytest.mark.parametrize("address", [
    "http://me:geh/eim@127.0.0.1:9", "http://me:geh@eim@127.0.0.1:9", "postgresql://me:geh@eim@127.0.0.1:9/mlflow",
    "http://eim@127.0.0.1:9",
])  # fmt: skip
def test_no_error_of_a_tracking_store_has_its_password(address, call_program, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    status, output, errors = call_program(ablation.main, "--data", "digits", "--seeds", "1", "--debug")
    assert status == 1 and "Error: " in errors and "eim" not in output + errors


@pytest.mark.parametrize("address", [
    "postgresql+psycopg://me:geheim@127.0.0.1:9/x", "postgresql+psycopg://me:g@eheim@127.0.0.1:9/x",
    "postgresql+psycopg://127.0.0.1:9/x?user=me&password=geheim", "host=127.0.0.1 port=9 password='my geheim'",
    "postgresql+psycopg://127.0.0.1:9/x?user=me&sslpassword=geheim",
])  # fmt: skip
def test_no_message_about_a_queue_has_its_password(address, call_program):
    status, output, errors = call_program(worker.main, "--study", "x", "--storage", address)
    assert status == 1 and "Error: " in errors and "eheim" not in output + errors


def test_no_container_but_mlflows_and_the_databases_has_more_than_the_workers_password():
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    with_more = {name for name, service in services.items() if "MLFLOW_PASSWORD" in str(service["environment"])}
    assert with_more == {"db", "tracking"} and "POSTGRES_USER" not in services["db"]["environment"]
    assert "ALTER ROLE postgres PASSWORD NULL" in (ROOT / "deploy" / "databases.sql").read_text()
