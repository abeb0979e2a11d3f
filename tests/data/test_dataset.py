import gzip
import hashlib
import io
import socket
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from study.base.errors import DataError
from study.data import mnist
from study.data.dataset import load_dataset
from study.data.download import download
from study.data.split import BY_CLASS, GIVEN, TEST_BY_CLASS

DIGITS_SHA256 = "b8de01bd495ac8bfab826f58501f3b4a20f081b562220bf5856011ae96d2d618"
SYNTHETIC_SHA256 = "66b009753861452616d2d4d141619270809d0f902eb96a5c2a6660e81249c836"
CONTENT = bytes(range(256)) * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def arrays(rows=20, height=4, width=3, **changed) -> dict:
    """A valid dataset of three classes, with `changed` arrays in place of its own; None leaves one out."""
    random = np.random.default_rng(1)
    whole = {
        "x_train": random.integers(0, 256, (rows, height, width), np.uint8),
        "y_train": np.arange(rows) % 3,
        "x_test": random.integers(0, 256, (6, height, width), np.uint8),
        "y_test": np.arange(6) % 3,
    } | changed
    return {key: array for key, array in whole.items() if array is not None}


@pytest.fixture
def own_file(tmp_path):
    """The path of a valid .npz file."""
    np.savez(tmp_path / "own.npz", **arrays())
    return tmp_path / "own.npz"


def message(call, *args, **kwargs) -> str:
    with pytest.raises(DataError) as error:
        call(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- the sets that need no download -----------------------------------------------------------------


def test_digits_are_the_same_bytes_everywhere(digits):
    assert digits.sha256 == DIGITS_SHA256
    assert (digits.name, digits.spec, digits.classes, digits.substitute_for) == ("digits", "digits", 10, None)


def test_synthetic_points_are_the_same_bytes_everywhere():
    points = load_dataset("synthetic")
    assert points.sha256 == SYNTHETIC_SHA256
    assert (points.name, points.spec, points.classes, points.row_shape) == ("synthetic", "synthetic", 2, (1, 2))
    assert [len(split) for split in (points.train, points.validation, points.test)] == [1020, 180, 600]


# --- MNIST ------------------------------------------------------------------------------------------


def test_mnist_is_read_from_a_file(mnist):
    assert [len(split) for split in (mnist.train, mnist.validation, mnist.test)] == [55_000, 5_000, 10_000]
    assert (mnist.name, mnist.row_shape, mnist.classes) == ("mnist", (28, 28), 10)
    assert np.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.train.inputs.mean() / 255 == pytest.approx(0.1307, abs=2e-4)


# --- a file of one's own ----------------------------------------------------------------------------


def test_a_file_is_identified_by_its_content_and_full_path(own_file, monkeypatch):
    monkeypatch.chdir(own_file.parent)
    dataset = load_dataset("own.npz")
    assert (dataset.name, dataset.spec) == ("own", str(own_file))
    assert (dataset.classes, dataset.row_shape, dataset.substitute_for) == (3, (4, 3), None)


def test_the_sha256_is_that_of_the_arrays_and_not_of_the_file(own_file, tmp_path):
    own, packed, other = load_dataset(str(own_file)), tmp_path / "packed.npz", tmp_path / "other.npz"
    same = {key: np.asfortranarray(array) for key, array in arrays().items()}
    np.savez_compressed(packed, note=np.zeros(3), **same | {"y_train": same["y_train"].astype(np.uint8)})
    turned = {key: arrays()[key].reshape(-1, 3, 4) for key in ("x_train", "x_test")}
    np.savez(other, **arrays() | turned)
    assert load_dataset(str(packed)).sha256 == own.sha256 != load_dataset(str(other)).sha256
    np.testing.assert_array_equal(load_dataset(str(packed)).train.inputs, own.train.inputs)


def test_a_path_may_begin_with_the_home_folder(own_file, monkeypatch):
    monkeypatch.setenv("HOME", str(own_file.parent))
    assert load_dataset("~/own.npz").spec == str(own_file)


def test_the_last_training_rows_are_the_validation_rows(own_file):
    dataset, source = load_dataset(str(own_file), "4"), arrays()
    np.testing.assert_array_equal(dataset.train.inputs, source["x_train"][:16])
    np.testing.assert_array_equal(dataset.train.labels, source["y_train"][:16])
    np.testing.assert_array_equal(dataset.validation.inputs, source["x_train"][16:])
    np.testing.assert_array_equal(dataset.validation.labels, source["y_train"][16:])
    np.testing.assert_array_equal(dataset.test.inputs, source["x_test"])
    np.testing.assert_array_equal(dataset.test.labels, source["y_test"])
    assert dataset.test.labels.dtype == np.int32


@pytest.mark.parametrize(
    "rows, validation, kept",
    [
        (20, "auto", 3), (20, "1", 1), (20, "19", 19), (20, "0.2", 4), (20, "0.03", 1), (20, "0.97", 19),
        (33_333, "auto", 5_000), (33_300, "auto", 4_995), (40_000, "auto", 5_000),
    ],
)  # fmt: skip
def test_validation_is_a_count_or_a_fraction(tmp_path, rows, validation, kept):
    np.savez(tmp_path / "own.npz", **arrays(rows, 1, 1))
    dataset = load_dataset(str(tmp_path / "own.npz"), validation)
    assert (len(dataset.train), len(dataset.validation)) == (rows - kept, kept)


@pytest.mark.parametrize(
    "validation, what", [("20", "train"), ("5000", "train"), ("0.98", "train"), ("0.02", "validate"), ("0", "validate")]
)
def test_validation_leaves_rows_on_both_sides(own_file, validation, what):
    assert message(load_dataset, str(own_file), validation) == (
        f"{own_file}: validation={validation} leaves no rows to {what} on; "
        "expected a count from 1 to 19, or a fraction of the 20 training rows."
    )


IMAGES = np.zeros((20, 4, 3), np.uint8)
AS_FEATURES = {"x_train": IMAGES.astype(np.float32), "x_test": IMAGES[:6].astype(np.float32)}


def with_number(number, row=3):
    values = np.zeros((20, 4))
    values[row:, 1] = number
    return {"x_train": values, "x_test": np.zeros((6, 4))}


@pytest.mark.parametrize("changed, text", [
    ({"y_train": None, "x_test": None}, "{}: y_train missing; expected x_train, y_train, got x_train, y_test."),
    (dict.fromkeys(arrays()), "{}: x_train, y_train missing; expected x_train, y_train, got nothing."),
    ({"y_test": None}, "{}: y_test missing; expected y_test beside x_test."),
    ({"x_val": IMAGES}, "{}: y_validation missing; expected y_validation beside x_validation."),
    ({"x_val": IMAGES, "x_validation": IMAGES}, "{}: x_validation is there twice."),
    ({"x_train": np.zeros(20)},
     "{}: x_train: wrong shape; expected (n, height, width), (n, height, width, channels) or features (n, …), "
     "got (20,)."),
    ({"x_train": np.array(["a"] * 20)[:, None]}, "{}: x_train: wrong type; "
     "expected uint8 pixels, or features of floats or whole numbers, got <U1."),
    ({"x_test": np.zeros((6, 4, 3, 1), np.uint8)},
     "{}: x_test: images of another size than in x_train; expected (4, 3), got (4, 3, 1)."),
    ({"x_train": np.zeros((20, 3, 32, 32), np.uint8)},
     "{}: x_train: wrong shape; expected (n, height, width, channels) with 1 to 4 channels, got (20, 3, 32, 32). "
     "Channels go last: np.moveaxis(x, 1, -1). What is no image can be features: x.astype(np.float32)."),
    ({"x_train": np.zeros((20, 4, 3))}, "{}: x_test: another kind of data than in x_train; "
                                        "expected features of float64, got pixels of uint8."),
    (with_number(np.nan), "{}: x_train: numbers that are missing, infinite or above 3.4e38; expected finite numbers, "
     "got others in 17 of 20 rows, the first in row 4. Fill them in first. In a .csv file they may be missing."),
    (with_number(-1e300, 0),
     "{}: x_train: numbers that are missing, infinite or above 3.4e38; expected finite numbers, "
     "got others in 20 of 20 rows, the first in row 1. Fill them in first. In a .csv file they may be missing."),
    ({"x_train": np.zeros((20, 3)), "x_test": np.zeros((6, 2))},
     "{}: x_test: rows of another size than in x_train; expected (3,), got (2,)."),
    ({"x_test": np.zeros((6, 3, 4), np.uint8)},
     "{}: x_test: images of another size than in x_train; expected (4, 3), got (3, 4)."),
    ({"x_test": np.zeros((0, 4, 3), np.uint8), "y_test": np.zeros(0, int)},
     "{}: x_test: empty; expected at least one row of at least one number, got (0, 4, 3)."),
    ({"x_train": np.zeros((20, 0, 3), np.uint8)},
     "{}: x_train: empty; expected at least one row of at least one number, got (20, 0, 3)."),
    ({"x_train": np.zeros((1, 4, 3), np.uint8), "y_train": np.ones(1, int)},
     "{}: x_train: too few rows; expected at least 2, got 1."),
    ({"x_train": IMAGES[:4], "y_train": np.arange(4), "x_test": None, "y_test": None},
     "{}: too few rows; expected at least 5, got 4."),
    ({"y_train": np.arange(19) % 3}, "{}: y_train: wrong shape; expected (20,), one label a row, got (19,)."),
    ({"y_test": np.eye(6, dtype=int)}, "{}: y_test: wrong shape; expected (6,), one label a row, got (6, 6). "
                                       "Of one-hot rows: y.argmax(axis=1)."),
    ({"y_train": np.zeros(20)}, "{}: y_train: wrong type; expected whole numbers or text, got float64."),
    ({"y_test": np.array(list("012012"))},
     "{}: labels of two types; expected numbers or text in all of them, got y_train of int64, y_test of <U1."),
    ({"x_train": np.zeros((1_001, 2)), "y_train": np.arange(1_001), "x_test": None, "y_test": None},
     "{}: y_train: too many classes; expected at most 1,000, got 1,001 labels."),
    ({"y_train": np.zeros(20, int), "y_test": np.zeros(6, int)},
     "{}: y_train: there is only one class; expected 2 to 1,000 classes, got the label 0 alone."),
    ({"y_test": np.arange(6)},
     "{}: y_test: a label that the training rows never show; expected 0 to 2, got 3."),
    ({"y_train": np.arange(20) % 3 * 5 - 5, "y_test": np.array([5, 5, 5, 5, 5, 4])},
     "{}: y_test: a label that the training rows never show; expected -5, 0, 5, got 4."),
    ({"class_names": np.array(["a", "b"])}, "{}: class_names: not one name a class; expected 3 names, got 2."),
    ({"class_names": np.array(["a", "b", "a"])}, "{}: class_names: two classes have the same name; got 'a'."),
    ({"class_names": np.array(["a", "b\n", "c"])},
     "{}: class_names: a class without a proper name; expected 1 to 100 printable characters, got 'b\\n'."),
    ({"class_names": np.arange(3)}, "{}: class_names: wrong type; expected (n,) of text, got (3,) of int64."),
    ({"y_train": np.array(["a", "b"] * 10), "y_test": np.array(["a"] * 6), "class_names": np.array(["a", "c"])},
     "{}: a label that class_names doesn't have; expected a, c, got 'b'."),
    ({"feature_names": np.array(["a"])},
     "{}: feature_names names the columns of features (n, columns); got (20, 4, 3)."),
    ({"x_train": np.zeros((20, 2)), "x_test": np.zeros((6, 2)), "feature_names": np.array(["a", "a"])},
     "{}: feature_names: not one name a column; expected 2 different names, got 2."),
    ({"y_test": np.array([0, 1, 2, 0, 1, None])},
     "{}: y_test: pickled Python objects, which can run code when they are read; expected a plain array of numbers."),
])  # fmt: skip
def test_arrays_that_are_no_dataset_are_refused(tmp_path, changed, text):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays(**changed))
    assert message(load_dataset, str(path)) == text.format(path)


def packed(path, key, content, **how):
    """Write a dataset in which one array's file has this content, packed in this way."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays().items():
            data = io.BytesIO()
            np.save(data, array)
            file.writestr(f"{name}.npy", content if name == key else data.getvalue(), **how if name == key else {})


def header_of(shape, descr="|u1"):
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"shape": shape, "fortran_order": False, "descr": descr})
    return data.getvalue()


PROMISES = "x_train: damaged (its header promises more than there is). Fetch or write the file again."
NO_ARRAY = "x_train: not an array; expected a plain array of numbers."


@pytest.mark.parametrize("content, how, text", [
    (header_of((10**6, 100, 100)) + bytes(1_000), {}, PROMISES),
    (header_of((10**30, 10**30, 10**30)), {}, PROMISES), (header_of((-1, 4, 3)) + bytes(99), {}, PROMISES),
    (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65_535, {}, "x_train: damaged ("), (b"", {}, NO_ARRAY),
    (b"abc", {}, NO_ARRAY),
    (header_of((20, 4, 3), [("a", "u1")]) + bytes(240), {}, "x_train: wrong type; expected uint8"),
    (header_of((20, 4, 3)) + bytes(240), {"compress_type": zipfile.ZIP_LZMA}, "x_train: packed by an unusual method; "),
])  # fmt: skip
def test_what_a_header_says_is_checked_before_anything_is_unpacked(tmp_path, content, how, text):
    packed(tmp_path / "own.npz", "x_train", content, **how)
    assert message(load_dataset, str(tmp_path / "own.npz")).startswith(f"{tmp_path}/own.npz: {text}")


def damage(path, kind):
    whole = path.read_bytes()
    match kind:
        case "absent":
            path.unlink()
        case "folder":
            path.unlink()
            path.mkdir()
        case "single array":
            with open(path, "wb") as file:  # np.save would append .npy to the path
                np.save(file, np.zeros(3))
        case "text":
            path.write_text("label,pixel\n3,0\n")
        case "empty":
            path.write_bytes(b"")
        case "half":
            path.write_bytes(whole[: len(whole) // 2])
        case "one bit":
            place = whole.index(arrays()["x_test"].tobytes())
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])


NO_NPZ = "{}: not an .npz file, or an incomplete one; expected an .npz file with x_train and y_train."


@pytest.mark.parametrize("kind, text", [
    ("absent", "{}: no such file. data= takes auto, mnist, fashion_mnist, cifar10, digits, iris, wine, breast_cancer, "
     "synthetic, or the path of an .npz, .csv or .parquet file or of a folder of pictures."),
    ("folder", "{}: this is a folder; expected a file, or size=. Say how large its pictures are to be: -P size=28x28."),
    ("text", NO_NPZ), ("empty", NO_NPZ), ("half", NO_NPZ),
    ("single array", "{}: the file holds a single array; expected an .npz file with x_train and y_train."),
    ("one bit", "{}: x_test: damaged (Bad CRC-32 for file 'x_test.npy'). Fetch or write the file again."),
])  # fmt: skip
def test_a_file_that_is_no_npz_is_refused(own_file, kind, text):
    damage(own_file, kind)
    assert message(load_dataset, str(own_file)) == text.format(own_file)


# --- fetching ---------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Answers with the server's `content`: all of it, half of it, or after it is too late."""

    def do_GET(self):
        if self.path == "/missing":
            return self.send_error(404)
        if self.path in self.server.contents:
            self.send_response(200)
            self.end_headers()
            return self.wfile.write(self.server.contents[self.path])
        if self.path == "/silent":
            return self.server.over.wait()
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        half = len(self.server.content) // 2
        self.wfile.write(self.server.content[:half])
        if self.path == "/stalls":
            self.server.over.wait()
        elif self.path != "/drops":
            self.wfile.write(self.server.content[half:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """An HTTP server on this machine; `server.url` is its address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.over = CONTENT, threading.Event()
        server.contents = {}  # by path
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def dead_url(monkeypatch):
    """An address on this machine where nobody listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/mnist.npz"


@pytest.fixture
def cached_mnist(tmp_path, monkeypatch):
    """Where mnist.npz is cached, in a folder that is this test's own."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets" / "mnist.npz"


def test_a_download_arrives_whole(server, tmp_path):
    path = tmp_path / "new" / "folders" / "file"
    download(f"{server.url}/whole", path, SHA256)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


FAILURES = [
    ("/altered", "the download is not the file it should be; expected SHA-256 000000000000…, got "),
    ("/drops", "the connection broke off; expected "),
    ("/missing", "the download failed (Not Found)."),
    ("/silent", "the download failed (timed out)."),
    ("/stalls", "the download failed (timed out)."),
]


@pytest.mark.parametrize("path, text", FAILURES)
def test_a_download_that_fails_leaves_nothing(server, tmp_path, path, text):
    sha256 = "0" * 64 if path == "/altered" else SHA256
    began = time.monotonic()
    said = message(download, server.url + path, tmp_path / "cache" / "file", sha256, timeout=0.5)
    assert said.startswith(f"{server.url}{path}: {text}")
    assert list((tmp_path / "cache").iterdir()) == []
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["/drops", "/silent", "/whole"])
def test_a_download_replaces_a_file_only_by_a_whole_one(server, tmp_path, path):
    file = tmp_path / "file"
    file.write_bytes(b"before")
    if path == "/whole":
        download(server.url + path, file, SHA256)
    else:
        message(download, server.url + path, file, SHA256, timeout=0.5)
    assert file.read_bytes() == (CONTENT if path == "/whole" else b"before")
    assert list(tmp_path.iterdir()) == [file]


def test_a_download_without_a_server_says_so(dead_url, tmp_path):
    said = message(download, dead_url, tmp_path / "file", SHA256, timeout=0.5)
    assert said.startswith(f"{dead_url}: the download failed (") and "refused" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spec", ["mnist", "auto"])
def test_mnist_is_fetched_once_and_then_read_from_the_cache(spec, server, own_file, cached_mnist, monkeypatch):
    server.content = own_file.read_bytes()
    monkeypatch.setattr(mnist, "MNIST_SHA256", hashlib.sha256(server.content).hexdigest())
    monkeypatch.setattr(mnist, "MNIST_URL", f"{server.url}/whole")
    first = load_dataset(spec)
    monkeypatch.setattr(mnist, "MNIST_URL", f"{server.url}/drops")
    second = load_dataset(spec)
    assert cached_mnist.read_bytes() == server.content
    for dataset in (first, second):
        assert (dataset.name, dataset.spec, dataset.substitute_for) == ("mnist", "mnist", None)
        assert dataset.sha256 == load_dataset(str(own_file)).sha256


def test_auto_without_a_network_is_the_digits_and_says_so(dead_url, cached_mnist, monkeypatch):
    monkeypatch.setattr(mnist, "MNIST_URL", dead_url)
    dataset = load_dataset("auto")
    assert (dataset.name, dataset.spec, dataset.sha256) == ("digits", "digits", DIGITS_SHA256)
    assert dataset.substitute_for.startswith(f"MNIST, which could not be fetched ({dead_url}: the download failed (")
    assert list(cached_mnist.parent.iterdir()) == []


def test_mnist_without_a_network_is_an_error(dead_url, cached_mnist, monkeypatch):
    monkeypatch.setattr(mnist, "MNIST_URL", dead_url)
    assert message(load_dataset, "mnist").startswith(f"{dead_url}: the download failed (")


def test_a_cached_file_of_other_content_is_not_used(dead_url, own_file, cached_mnist, monkeypatch):
    monkeypatch.setattr(mnist, "MNIST_URL", dead_url)
    cached_mnist.parent.mkdir(parents=True)
    own_file.rename(cached_mnist)
    assert load_dataset("auto").name == "digits"
    assert message(load_dataset, "mnist").startswith(f"{dead_url}: the download failed (")


def test_a_cache_that_cannot_be_made_is_an_error_for_mnist_and_none_for_auto(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "a_file"))
    (tmp_path / "a_file").touch()
    assert message(load_dataset, "mnist") == (
        f"{tmp_path}/a_file/datasets/mnist.npz: MNIST cannot be kept in Keras's cache (Not a directory)."
    )
    assert load_dataset("auto").name == "digits"


# --- Fashion-MNIST ----------------------------------------------------------------------------------


def idx(array) -> bytes:
    sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return gzip.compress(b"\0\0\x08" + bytes([array.ndim]) + sides + array.tobytes(), mtime=0)


def test_fashion_mnist_is_fetched_once_and_has_class_names(server, cached_mnist, monkeypatch):
    random, files = np.random.default_rng(1), {}
    for key, (name, _) in mnist.FASHION_FILES.items():
        rows = 40 if "train" in key else 10
        array = np.arange(rows) % 10 if key.startswith("y") else random.integers(0, 256, (rows, 28, 28))
        content = idx(array.astype(np.uint8))
        server.contents[f"/{name}"] = content
        files[key] = name, hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(mnist, "FASHION_URL", f"{server.url}/")
    monkeypatch.setattr(mnist, "FASHION_FILES", files)
    first = load_dataset("fashion_mnist")
    server.contents.clear()
    assert load_dataset("fashion_mnist").sha256 == first.sha256
    assert (first.name, first.kind, first.row_shape, first.classes) == ("fashion_mnist", "pixels", (28, 28), 10)
    assert first.class_names[0] == "T-shirt/top" and len(first.pool) == 40
    assert sorted(path.name for path in (cached_mnist.parent / "fashion-mnist").iterdir()) == sorted(
        name for name, _ in files.values()
    )


@pytest.mark.parametrize("content", [
    b"", gzip.compress(b""), gzip.compress(b"\0\0\x0d\x01\0\0\0\x01\x01"), gzip.compress(b"\0\0\x08\x01\0\0\0\x02\x01"),
    gzip.compress(bytes(1_000))[:-9], idx(np.zeros((2, 2), np.uint8))[:-1],
], ids=["empty", "nothing", "other type", "short", "torn", "torn at its end"])  # fmt: skip
def test_a_file_that_is_no_idx_file_is_refused(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    assert message(mnist.read_idx, tmp_path / "x.gz").startswith(f"{tmp_path}/x.gz: ")


# --- features, colours and splits of a file's own -----------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(5,), (5, 4), (2, 3, 2)])
def test_numbers_of_any_type_are_features_unless_they_are_pixels(tmp_path, dtype, shape):
    if dtype == np.uint8 and len(shape) > 1:
        shape = (2, 2, 1, 5)
    values = (np.random.default_rng(1).random((26, *shape)) * 2).astype(dtype)
    np.savez(tmp_path / "own.npz", **arrays(x_train=values[:20], x_test=values[20:]))
    dataset = load_dataset(str(tmp_path / "own.npz"))
    assert (dataset.kind, dataset.row_shape, dataset.pool.inputs.dtype) == ("features", shape, np.float32)
    np.testing.assert_array_equal(dataset.pool.inputs, values[:20].astype(np.float32))
    names = dataset.features.names if dataset.features else None
    assert names == (tuple(f"feature_{number}" for number in range(5)) if shape == (5,) else None)


def test_columns_and_classes_of_a_file_may_have_names(tmp_path):
    values = np.arange(52.0).reshape(26, 2)
    own = arrays(x_train=values[:20], x_test=values[20:])
    np.savez(tmp_path / "plain.npz", **own)
    np.savez(tmp_path / "own.npz", **own, feature_names=np.array(["a", "b"]), class_names=np.array(["x", "y", "z"]))
    dataset, plain = (load_dataset(str(tmp_path / f"{name}.npz")) for name in ("own", "plain"))
    assert (dataset.features.names, dataset.class_names) == (("a", "b"), ("x", "y", "z"))
    assert plain.class_names == ("0", "1", "2") and plain.sha256 != dataset.sha256


def test_images_in_colour_keep_their_channels(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (26, 4, 3, 3), np.uint8)
    np.savez(tmp_path / "own.npz", **arrays(x_train=images[:20], x_test=images[20:]))
    dataset = load_dataset(str(tmp_path / "own.npz"))
    assert (dataset.kind, dataset.row_shape, dataset.features) == ("pixels", (4, 3, 3), None)


def test_a_file_without_test_rows_gives_a_fifth_of_each_class(tmp_path):
    images = np.arange(90, dtype=np.uint8)[:, None, None]
    np.savez(tmp_path / "own.npz", x_train=images, y_train=np.repeat([0, 1], [60, 30])[:, None])
    dataset = load_dataset(str(tmp_path / "own.npz"))
    assert (dataset.split, dataset.test_split) == (BY_CLASS, TEST_BY_CLASS)
    assert [np.bincount(one.labels).tolist() for one in (dataset.train, dataset.validation, dataset.test)] == [
        [41, 20], [7, 4], [12, 6],
    ]  # fmt: skip
    rows = np.concatenate([one.inputs.ravel() for one in (dataset.train, dataset.validation, dataset.test)])
    assert sorted(rows.tolist()) == list(range(90))
    assert dataset.test.inputs[:4].ravel().tolist() == [0, 4, 7, 9]  # the rows that are drawn never change


@pytest.mark.parametrize("name", ["validation", "val"])
def test_a_file_may_have_validation_rows_of_its_own(tmp_path, name):
    own = arrays()
    extra = {f"x_{name}": own["x_test"] // 2, f"y_{name}": own["y_test"]}
    np.savez(tmp_path / "own.npz", **own, **extra)
    dataset = load_dataset(str(tmp_path / "own.npz"))
    assert (dataset.split, len(dataset.train), len(dataset.pool)) == (GIVEN, 20, 26)
    np.testing.assert_array_equal(dataset.validation.inputs, own["x_test"] // 2)
    np.testing.assert_array_equal(dataset.train.inputs, own["x_train"])
    assert load_dataset(str(tmp_path / "own.npz"), "6").sha256 == dataset.sha256
    assert message(load_dataset, str(tmp_path / "own.npz"), "5") == (
        f"{tmp_path}/own.npz: the file has its own validation rows; expected validation=auto or 6, got validation=5."
    )
    folded = load_dataset(str(tmp_path / "own.npz"), "5", fold=3)
    assert len(folded.train) + len(folded.validation) == 26
