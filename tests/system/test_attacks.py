"""Attacks that once got through, and a sample of those that never did; SECURITY.md says what is trusted."""

import ast
import base64
import io
import itertools
import json
import math
import os
import pickle
import re
import signal
import socket
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import h5py
import mlflow
import numpy as np
import optuna
import psutil
import pytest
import yaml
from conftest import ROOT
from factories import hostile_pictures as hostile
from factories import model_files
from factories.model_files import KERNEL
from mlflow.exceptions import MlflowException
from rich.console import Console

from entrypoints import ablation, display, program, worker
from study.analysis.explanations import Reading
from study.base import backend, keras_file
from study.base.errors import StudyError, TrackingError
from study.data.dataset import load_dataset
from study.design.ablation import load_ablation
from study.design.search import Search, parse_search
from study.design.search_space import load_space
from study.execution import sampling
from study.execution.queue import Progress
from study.inference import novelty, preprocessing
from study.inference.contract import Contract
from study.inference.playground import app
from study.inference.predict import open_file, open_folder
from study.inference.serving import admission
from study.reports import prediction_report
from study.reports.table import Table
from study.tracking import places, records, runs, store, stored
from study.tracking import store as stores
from study.tracking.artifacts import OPTIONAL_TRIAL_FILES, PREDICTIONS, TRIAL_FILES
from study.tracking.store import connect
from study.workflows.predict import find_picture

if TYPE_CHECKING:
    from study.inference.serving.served_network import ServedNetwork

BLACK = [[0] * 28] * 28
MNISTS = Contract.of_pixels((28, 28), 10)
PICTURES = ROOT / "tests" / "pictures"

# --- requests to the served model and the playground ------------------------------------------------


class FakeNetwork:
    """Answers every picture alike, without TensorFlow: what is attacked lies in front of the network."""

    def __init__(self, seen: np.ndarray):
        self._count = len(seen)

    def numpy(self) -> np.ndarray:
        return np.full((self._count, 10), 0.1, np.float32)


@pytest.fixture(scope="module")
def served(few_digits) -> "ServedNetwork":
    """The served model as MLflow's server calls it, with a network that costs nothing."""
    from study.inference.serving.served_network import ServedNetwork

    model = ServedNetwork()
    reference = novelty.fit(few_digits.train.inputs[:300], few_digits.train.labels[:300])
    model.prepare(Contract.of(few_digits), reference.to_bytes())
    model._network = FakeNetwork
    return model


def image(content: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(content).decode()}


def answer(model: "ServedNetwork", inputs: object) -> tuple[int, str]:
    """Return status and sentence of an answer as MLflow's server would send them; 200 and nothing if there is one."""
    try:
        json.dumps(model.predict(None, inputs))
    except MlflowException as refused:
        refused.message = f"Failed to predict data '{inputs}'."
        return refused.get_http_status_code(), json.loads(refused.serialize_as_json())["message"]
    return 200, ""


SMALL_AND_MUCH_WORK = {
    "a JPEG of 392 kB that repeats a scan": lambda: [hostile.many_scans(2_400, 392_000)],
    "one of 182 kB": lambda: [hostile.many_scans(2_400, 182_000)],
    "256 WebPs of 25 million pixels": lambda: [webp_that_claims(5_000)] * 256,
    "texts of a PNG that unpack": lambda: [hostile.many_texts(60)] * 10,
    "a GIF with comments": lambda: [hostile.many_blocks(300_000)],
    "a GIF larger than its screen": lambda: [hostile.larger_inside(5_100)],
    "run lengths of a BMP": lambda: [hostile.runs(4_900)],
}


def webp_that_claims(side: int) -> bytes:
    """The beginning of a lossless WebP of `side` × `side` pixels."""
    bits = (side - 1) | (side - 1) << 14
    return b"RIFF\x2a\0\0\0WEBPVP8L\x1e\0\0\0\x2f" + bits.to_bytes(4, "little") + bytes(25)


@pytest.mark.parametrize("contents", SMALL_AND_MUCH_WORK.values(), ids=SMALL_AND_MUCH_WORK)
def test_little_data_that_is_much_work_is_refused_before_it_is_decoded(served, contents, monkeypatch):
    contents = contents()
    assert sum(map(len, contents)) < 750_000  # a megabyte of base64
    monkeypatch.setattr(preprocessing, "read", None)
    status, sentence = answer(served, [image(content) for content in contents])
    assert status == 400 and sentence.startswith(("inputs: too much", "inputs[0].image: too m"))


def test_of_twelve_large_pictures_one_is_decoded_at_a_time(served, monkeypatch):
    inside, go_on = [], threading.Event()

    def read(content: bytes) -> np.ndarray:
        inside.append(len(content))
        assert go_on.wait(60)
        return np.zeros((28, 28), np.uint8)

    monkeypatch.setattr(admission, "SECONDS", 0)
    large = [image(hostile.blank(2_000, "PNG"))]
    with ThreadPoolExecutor(12) as pool, monkeypatch.context() as patch:
        patch.setattr(preprocessing, "read", read)
        asked = [pool.submit(answer, served, large) for _ in range(12)]
        deadline = time.monotonic() + 60
        while len(inside) + sum(one.done() for one in asked) < 12 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(inside) == 1
        assert answer(served, [{"pixels": BLACK}])[0] == 200  # meanwhile
        go_on.set()
    assert Counter(one.result()[0] for one in asked) == {200: 1, 503: 11}
    assert answer(served, large)[0] == 200


ODD_FORMS = [
    None, True, 0, -1, 1e308, math.nan, math.inf, 10**400, "", "x", "\ud800", "\0", "../../etc/passwd",
    "file:///etc/passwd", b"bytes", [], {}, [[]], [None], [[[[[[1]]]]]], {"image": ""}, {"pixels": []},
    {"image": None, "pixels": None}, {"image": ["x"]}, {"image": {"$ref": "/etc/passwd"}}, {"image": "/etc/passwd"},
    {"image": "data:image/png;base64,AAAA"}, {"image": "http://127.0.0.1/"}, {"image": "A" * 999},
    {"image": "=" * 999}, {"image": " \n" * 999}, {"pixels": "\0" * 784}, {"pixels": [[0] * 28] * 27},
    {"pixels": [[0] * 784]}, {"pixels": [[]] * 28}, {"pixels": [[{}] * 28] * 28}, {"pixels": [["0"] * 28] * 28},
    {"pixels": [[False] * 28] * 28}, {"pixels": [[math.nan] * 28] * 28}, {"pixels": [[-0.6] * 28] * 28},
    {"pixels": [[10**400] * 28] * 28}, {"pixels": [[1e400] * 28] * 28},
    {"pixels": {str(row): [0] * 28 for row in range(28)}}, {"__class__": "x"}, {"pixels": [[0] * 28] * 28, "": 0},
]  # fmt: skip


@pytest.mark.parametrize("wrap", [lambda odd: odd, lambda odd: [odd], lambda odd: [{"pixels": BLACK}, odd]])
def test_odd_forms_of_json_are_refused_in_a_sentence_that_repeats_nothing(served, wrap):
    for odd in ODD_FORMS:
        status, sentence = answer(served, wrap(odd))
        assert status == 400, odd
        assert re.fullmatch(r"inputs[^\n]{5,200}\.", sentence)
        assert "passwd" not in sentence and "/" not in sentence and "File" not in sentence


@pytest.mark.parametrize(("kind", "options"), [
    ("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("GIF", {}), ("BMP", {}), ("WEBP", {}),
])  # fmt: skip
def test_cut_pictures_are_refused_or_read_and_the_answer_is_one_line(served, kind, options):
    content = hostile.file_of(hostile.noise(12, "RGB"), kind, **options)
    for end in range(0, len(content), max(1, len(content) // 40)):
        status, sentence = answer(served, [image(content[:end])])
        assert status == 400 or (status, sentence) == (200, "")
        assert re.fullmatch(r"(inputs\[0\]\.image: [^\n]{5,200}\.)?", sentence)


def test_mixed_requests_leave_no_memory_behind(served):
    good = [image(hostile.file_of(hostile.noise(30, "L"), kind)) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP")]
    bad = [
        image(hostile.many_scans(600, 80_000)),
        image(hostile.blank(900, "PNG")[:400]),
        {"image": "%"},
        {"pixels": [[]]},
    ]
    process = psutil.Process()
    for number in range(160):
        if number == 60:
            before = process.memory_info().rss
        expected = 200 if number % 2 else 400
        assert answer(served, [*good, *([] if number % 2 else [bad[number // 2 % len(bad)]])])[0] == expected
    assert process.memory_info().rss - before < 40_000_000


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a playground that fails the test if a request gets through to it."""

    class Nothing:
        def read(self, *_: object) -> dict:
            raise AssertionError("the request got through")

        groups = chosen = read

    with app.listen(0) as listener:
        server = app.server(Nothing())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def test_a_page_of_another_site_cannot_make_the_playground_work(page):
    def ask(method: str, path: str, **headers: str) -> int:
        with closing(HTTPConnection("127.0.0.1", page, timeout=30)) as connection:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, json.dumps({"image": "", "models": []}), sent)
            return connection.getresponse().status

    other, typed = {"Origin": "http://evil.example"}, {"Content_Type": "application/json"}
    plain = {"Content_Type": "text/plain"}
    assert ask("POST", "/read", **plain) == 415
    assert ask("POST", "/read", **plain, **other) == 403
    assert ask("POST", "/read", **typed, **other) == 403
    assert ask("POST", "/read", **typed, Sec_Fetch_Site="same-site") == 403
    assert ask("GET", "/models", Sec_Fetch_Site="cross-site") == 403
    assert ask("OPTIONS", "/read", **other, Access_Control_Request_Method="POST") == 405
    # A name of another site that has been pointed at this machine.
    rebound = {"Host": "evil.example:5055", "Origin": "http://evil.example:5055", "Sec_Fetch_Site": "same-origin"}
    assert ask("POST", "/read", **typed, **rebound) == 400
    assert ask("GET", "/", **rebound) == 400


# --- the queue's database ---------------------------------------------------------------------------


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the file that the bomb opens
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_pickle_in_a_trials_attributes_is_not_loaded(tmp_path):
    """Optuna's CMA-ES loads it; ours, which reads the same attributes, does not."""
    search = Search(load_space("default"), "val_loss", "cmaes", "none")
    study = optuna.create_study(storage="sqlite:///:memory:")
    planted = {"cma:optimizer:0": pickle.dumps(Bomb(tmp_path / "planted")).hex(), "cma:generation": 0}
    fields = {name: each for name, each in sampling.distributions(search.space).items() if hasattr(each, "low")}
    for slot, generation in enumerate((0, 0, planted["cma:optimizer:0"], None, [0], {"0": 0}, 2**70, -1)):
        study.add_trial(optuna.trial.create_trial(
            params={name: each.low for name, each in fields.items()}, distributions=fields, value=1.0,
            system_attrs=planted, user_attrs={"slot": slot, "generation": generation},
        ))  # fmt: skip
    study.sampler = sampling.sampler(search)
    search.space.suggest(study.ask())
    assert study.trials[-1].user_attrs["generation"] == 0 and not (tmp_path / "planted").exists()
    study.sampler = optuna.samplers.CmaEsSampler(warn_independent_sampling=False)
    with pytest.raises(AttributeError):
        study.ask().suggest_float("learning_rate", 1e-4, 0.1, log=True)
    assert (tmp_path / "planted").exists()


@pytest.mark.parametrize("what, name", [("sampler", "pickle"), ("pruner", "os.system"), ("metric", "val_loss; x")])
def test_names_from_the_database_are_those_of_a_list(what, name):
    search = Search(load_space("default"), "val_loss", "tpe", "none")
    text = search.as_yaml().replace(f"{what}: {getattr(search, what)}", f"{what}: {name}")
    with pytest.raises(StudyError, match=f"{what} cannot be '{name}'; expected"):
        parse_search(text, "mine")


def test_no_code_loads_a_pickle():
    """The libraries that unpickle are not imported, nor are the classes of Optuna that do, and numpy is told not to."""
    loaders = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "torch"}
    unpickling = {"CmaEsSampler", "JournalStorage", "read_pickle", "UnsafeLoader", "enable_unsafe_deserialization"}
    # CIFAR-10 is an archive of pickles; what its unpickler knows is tested in tests/data.
    files = {*(ROOT / "study").rglob("*.py"), *(ROOT / "entrypoints").rglob("*.py")} - {ROOT / "study/data/cifar10.py"}
    for path in sorted(files):
        text = path.read_text()
        for node in (
            ast.walk(ast.parse(text)) if any(word in text for word in (*loaders, *unpickling, ".load(")) else ()
        ):
            names = []
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [name.name.partition(".")[0] for name in node.names]
                names.append((getattr(node, "module", None) or "").partition(".")[0])
            names.append(getattr(node, "attr", getattr(node, "id", "")))
            assert not {*names} & (loaders | unpickling), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                assert "allow_pickle=False" in ast.unparse(node), f"{path}:{node.lineno}"


# --- artifacts and the MLflow store -----------------------------------------------------------------

REFUSED = r"^model\.keras: a model file that is not opened: .* (link|file|twice|says|compressed|numbers)"
NOT_STOCK = (
    r"not opened: (not a stock part of a network|a layer larger than its weights|too many layers)|"
    r"no model that Keras can open"
)
SECRET = "only the owner of this machine may read this"


def external(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, (10, 4), "u1", external=[(str(secret), 0, 40)])


def virtual(file, secret):
    del file[KERNEL]
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["x"] = np.frombuffer(secret.read_bytes(), "u1")[:40].reshape(10, 4)
    layout = h5py.VirtualLayout((10, 4), "u1")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "x", (10, 4))
    file.create_virtual_dataset(KERNEL, layout)


def external_link(file, secret):
    virtual(file, secret)  # makes the other file
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/x")


def soft_link(file, secret):
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/layers/dense_1/vars/0")


def circle(file, secret):
    file["layers/dense/again"] = file["/layers"]


def filled(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, (10**6, 10**6), "f4", fillvalue=1)


def bomb(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, data=np.zeros((10**3, 10**3), "f4"), compression="gzip")


def text(file, secret):
    del file[KERNEL]
    file[KERNEL] = np.array(["a", "b"], object)


@pytest.mark.parametrize("attack", [external, virtual, external_link, soft_link, circle, filled, bomb, text])
def test_weights_lead_nowhere_and_hold_what_they_declare(attack, tmp_path):
    (secret := tmp_path / "secret").write_text(SECRET)
    content = model_files.with_weights(lambda file: attack(file, secret))
    for opens in (keras_file.kernels, keras_file.check, backend.from_bytes):
        with pytest.raises(TrackingError, match=REFUSED):
            opens(content)


def code(layers):
    layers[2] |= {"class_name": "Lambda", "config": {"name": "flatten", "function": {"class_name": "__lambda__"}}}


def lookup(layers):
    layers[2] |= {"class_name": "StringLookup", "config": {"name": "flatten", "vocabulary": "/etc/passwd"}}


def custom(layers):
    layers[2] |= {"registered_name": "package>Flatten"}


def module(layers):
    layers[2] |= {"module": "os", "class_name": "system", "config": "true"}


def function(layers):
    layers[4]["config"]["activation"] = {"module": "builtins", "class_name": "function", "config": "load_model"}


def wide(layers):
    next(layer for layer in layers if layer["class_name"] == "Dense")["config"]["units"] = 10**9


def many_pixels(layers):
    layers[0]["config"]["batch_shape"] = [None, 10**6, 10**6]


def built(layers):
    next(layer for layer in layers if layer["class_name"] == "Dense")["build_config"]["input_shape"] = [None, 10**9]


def own_input(layers):
    layers[1]["config"]["input_shape"] = [10**9]


def nested(layers):
    layers[3:] = [{"module": "keras", "class_name": "Sequential", "config": {"name": "inner", "layers": layers[3:]}}]


def without_input(layers):
    del layers[0]
    layers[0]["config"]["batch_shape"] = [None, 10**9]


def repeated(layers):
    layers[3:3] = [layers[3]] * 1_000


@pytest.mark.parametrize(
    "attack",
    [code, lookup, custom, module, function, wide, many_pixels, built, own_input, nested, without_input, repeated],
)
def test_a_configuration_names_stock_layers_of_the_size_of_its_weights(attack):
    with pytest.raises(TrackingError, match=NOT_STOCK):
        backend.from_bytes(model_files.with_config(attack))


def test_a_zip_holds_what_it_declares_and_nothing_else():
    files = model_files.members(model_files.model_file())
    for content in (
        model_files.packed(files | {"config.json": files["config.json"] + b" " * 10**7}, zipfile.ZIP_DEFLATED),
        model_files.packed(files | {"../../escaped": b""}),
        model_files.packed({name: content for name, content in files.items() if name != "metadata.json"}),
    ):
        with pytest.raises(TrackingError, match=r"not opened: (a file in it unpacks|not a model's files)"):
            backend.from_bytes(content)


def test_no_other_place_lets_keras_or_hdf5_open_a_file():
    opening = re.compile(r"(?<!pyfunc\.)\bload_model\(|load_weights\(|h5py\.File|model_from_json")
    found = {path.name for path in (ROOT / "study").rglob("*.py") if opening.search(path.read_text())}
    assert found == {"backend.py", "keras_file.py"}


def named_by_a_server(monkeypatch, uri: str) -> SimpleNamespace:
    """Return a client of a tracking server that says that every artifact and model lies at `uri`."""
    output = SimpleNamespace(model_id="m-1")
    run = SimpleNamespace(info=SimpleNamespace(artifact_uri=uri), outputs=SimpleNamespace(model_outputs=[output]))
    model = SimpleNamespace(name="model", artifact_location=uri)
    client = SimpleNamespace(get_run=lambda run_id: run, get_logged_model=lambda model_id: model)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://hostile.example:5000")
    monkeypatch.setattr(places, "MlflowClient", lambda: client)
    monkeypatch.setattr(places.ModelsArtifactRepository, "get_underlying_uri", lambda root: uri)
    return client


@pytest.mark.parametrize("form", ["{}", "file://{}", "FILE:{}", "runs:/1/{}", "models:/m-1{}"])
def test_a_tracking_server_names_no_place_on_this_machine(monkeypatch, tmp_path, form):
    (tmp_path / "data").mkdir()
    for name in (PREDICTIONS, "data/model.keras"):
        (tmp_path / name).write_text(SECRET)
    client = named_by_a_server(monkeypatch, form.format(tmp_path))
    record = records.RunRecord("1", "trial", "FINISHED", {}, {}, {}, artifacts=form.format(tmp_path))
    for read in (
        lambda: stored.read_file(record, PREDICTIONS),
        lambda: stored.read_files(record, [PREDICTIONS]),
        lambda: stored.read_model(client, "1"),
        lambda: stored.download_model("runs:/1/model", str(tmp_path / "copy")),
        lambda: stored.download_model("models:/mnist-mlp@champion", str(tmp_path / "copy")),
    ):
        with pytest.raises(TrackingError, match="the tracking server names a place on this machine, which is not read"):
            read()
    assert not (tmp_path / "copy").exists()


def test_only_files_of_known_names_are_carried_over(new_store):
    client = connect()
    run = runs.open_study_run(client, "a trial")
    run.log_files({PREDICTIONS: b"1", "id_rsa": SECRET, "report/report.html": "<script>"})
    names = (*TRIAL_FILES, *OPTIONAL_TRIAL_FILES)
    assert stored.read_files(records.read_run(client, run.run_id), names) == {PREDICTIONS: b"1"}


def test_a_link_in_the_shared_temporary_folder_leads_no_lock_elsewhere(tmp_path, monkeypatch):
    shared, victim = tmp_path / "tmp", tmp_path / "victim"
    shared.mkdir()
    victim.mkdir(mode=0o700)
    (shared / f"keras-study-{os.getuid()}").symlink_to(victim)  # the name can be foreseen
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(shared))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with store._alone(f"sqlite:///{tmp_path}/mlflow.db"):
        assert not list(victim.iterdir())


# --- files that a person names ----------------------------------------------------------------------


READERS = {
    "data": load_dataset, "task": load_ablation, "space": load_space, "picture": find_picture,
    "picture of a folder": lambda path: open_file(path, MNISTS),
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
    monkeypatch.setattr("study.data.memory.memory_available", lambda: 10**7)
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
    read, unreadable = open_folder(tmp_path, MNISTS)
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
