"""Attacks that once got through, and a sample of those that never did; SECURITY.md says what is trusted."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from conftest import ROOT

from entrypoints import ablation, worker
from study.tracking import store as stores

# --- requests to the served model and the playground ------------------------------------------------


# --- the queue's database ---------------------------------------------------------------------------


# --- artifacts and the MLflow store -----------------------------------------------------------------


# --- files that a person names ----------------------------------------------------------------------


# --- text that reports, terminals and MLflow show ---------------------------------------------------


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
