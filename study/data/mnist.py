"""MNIST, kept where Keras keeps it: fetched once, checked by its SHA-256."""

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from study.base.errors import DataError
from study.data.npz import file_sha256

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"


MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


CONNECT_SECONDS = 10


def mnist_file() -> Path:
    """Return the path of Keras's cached mnist.npz; fetch it first if it is absent or damaged."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    path = Path(home) / "datasets" / "mnist.npz"
    try:
        if not (path.is_file() and file_sha256(path) == MNIST_SHA256):
            download(MNIST_URL, path, MNIST_SHA256)
    except OSError as failure:
        raise DataError(f"MNIST cannot be kept in Keras's cache ({failure.strerror})", where=path) from None
    return path


def download(url: str, path: Path, sha256: str, *, timeout: float = CONNECT_SECONDS) -> None:
    """Fetch `url` to `path`; the file appears only when it is complete and has this SHA-256.

    `timeout` limits the connection and each silence after it, in seconds. Raises DataError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".part") as part:
        digest = hashlib.sha256()
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                size = int(response.headers.get("Content-Length", -1))
                while block := response.read(1 << 16):
                    digest.update(block)
                    part.write(block)
        except urllib.error.HTTPError as failure:
            failure.close()
            raise DataError(f"the download failed ({failure.reason})", where=url) from None
        except (OSError, http.client.HTTPException, ValueError) as failure:
            raise DataError(f"the download failed ({getattr(failure, 'reason', failure)})", where=url) from None
        if size not in (-1, part.tell()):
            raise DataError("the connection broke off", where=url, expected=f"{size} bytes", got=part.tell())
        if digest.hexdigest() != sha256:
            raise DataError(
                "the download is not the file it should be",
                where=url,
                expected=f"SHA-256 {sha256[:12]}…",
                got=f"{digest.hexdigest()[:12]}… ({part.tell()} bytes)",
            )
        part.flush()
        # A hard link of the temporary name would fail on some file systems; a copy could be torn. So the
        # finished part takes the final name in one step and a new empty one is left for the clean-up.
        os.replace(part.name, path)
        open(part.name, "wb").close()
    os.chmod(path, 0o644)
