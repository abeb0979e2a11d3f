"""Keeps the programs that XLA compiles on this machine, so that each is compiled once and not in every process.

TensorFlow reads and writes the files itself (``--tf_xla_persistent_cache_directory``). This module chooses their folder
and removes damaged files. They are machine code, so only this person can enter the folder. Its name has TensorFlow's
version and the processor, which the files' own names leave out.
"""

import contextlib
import hashlib
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

from study.base.errors import StudyError
from study.base.private import private_folder

SWITCH = "STUDY_XLA_CACHE"  # off: every process compiles for itself
FLAGS, FLAG = "TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory="
MOST_BYTES = 64 * 2**20  # about a hundred programs
FORGOTTEN_SECONDS = 3_600
_SEAL = ".sha256"  # beside each file


def use() -> None:
    """Let TensorFlow keep what it compiles; call this before its first operation.

    Nothing is kept where there is no folder for it, or where the person has named one in TF_XLA_FLAGS.
    """
    if os.environ.get(SWITCH) == "off" or FLAG in os.environ.get(FLAGS, ""):
        return
    with contextlib.suppress(OSError, StudyError):
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mend()
        if not any(map(str.isspace, str(folder))):  # TensorFlow takes the flags apart at spaces
            os.environ[FLAGS] = f"{os.environ.get(FLAGS, '')} {FLAG}{folder}".strip()


def flags() -> str:
    """Return TF_XLA_FLAGS without the cache, which changes no result."""
    return " ".join(word for word in os.environ.get(FLAGS, "").split() if not word.startswith(FLAG))


def seal() -> None:
    """Note the checksum of each file that has none: after something was compiled."""
    with contextlib.suppress(OSError, StudyError):
        for file in _files():
            if not _seal_of(file).exists():
                _seal_of(file).write_text(_checksum(file))


def mend() -> bool:
    """Remove the files that are not as they were written, and the oldest if there are too many.

    Return whether any was damaged. A file that is being written has another name.
    """
    damaged, total = False, 0
    with contextlib.suppress(OSError, StudyError):  # another process may be at it, too
        for file in sorted(_files(), key=lambda file: -file.stat().st_mtime):
            whole = _seal_of(file).exists() and _seal_of(file).read_text() == _checksum(file)
            total += file.stat().st_size
            damaged |= not whole
            if not whole or total > MOST_BYTES:
                file.unlink(missing_ok=True)
                _seal_of(file).unlink(missing_ok=True)
        for file in _folder().glob("*.tmp"):  # whoever wrote it was killed
            if time.time() - file.stat().st_mtime > FORGOTTEN_SECONDS:
                file.unlink(missing_ok=True)
    return damaged


def _folder() -> Path:
    mark = hashlib.sha256(f"{version('tensorflow')} {_processor()}".encode()).hexdigest()[:16]
    return private_folder() / "xla" / mark


def _files() -> list[Path]:
    return list(_folder().glob("xla_compile_cache*.pb"))


def _seal_of(file: Path) -> Path:
    return file.with_name(file.name + _SEAL)


def _checksum(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _processor() -> str:
    """Return what tells processors apart that run different machine code: the model and the flags of the first one."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        return "\n".join(line for line in lines if line.startswith(("vendor_id", "cpu family", "model", "flags")))
    return f"{platform.machine()} {platform.processor()}"
