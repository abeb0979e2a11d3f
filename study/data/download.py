"""Files of known content, fetched once and kept where Keras keeps them."""

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from study.base.errors import DataError

CONNECT_SECONDS = 10


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(title: str, url: str, name: str, sha256: str) -> Path:
    """Return the path of a file in Keras's cache; fetch it from `url` first if it is absent or damaged.

    Raises DataError.
    """
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    path = Path(home) / "datasets" / name
    try:
        if not (path.is_file() and file_sha256(path) == sha256):
            download(url, path, sha256)
    except OSError as failure:
        raise DataError(f"{title} cannot be kept in Keras's cache ({failure.strerror})", where=path) from None
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
