"""The fingerprint of a trial: one hash of everything that determines its result.

Two trials with the same fingerprint end in the same bits on the same kind of machine, so a finished one is carried
over instead of being trained again.
"""

import ast
import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from study.base import xla_cache
from study.training.config import TrialConfig
from study.training.networks.network import find

# The version of what a trial's run holds. Raise it when a report needs something that older runs do not have: their
# trials are then trained again rather than carried over.
RECORD_VERSION = 1

HERE = Path(__file__).parent
LOOKS = ("profile.py", "column_profile.py", "duplicates.py")  # of the data, at what nobody trains on
# Everything that a result depends on: all of this package, the data that it is given, and the backend.
TRAINING_CODE = (
    *sorted(HERE.rglob("*.py")),
    *sorted(path for path in HERE.parent.joinpath("data").rglob("*.py") if path.name not in LOOKS),
    HERE.parent / "base" / "backend.py",
)
# What tells the compilers beneath TensorFlow to calculate in another way, such as with fast and inexact functions.
COMPILER_FLAGS = ("XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")  # and TF_XLA_FLAGS


def fingerprint(config: TrialConfig, data_sha256: str, validation_rows: int) -> str:
    """Return a hash (64 hex digits) of everything that determines a trial's result.

    That is the config without the fields that have no effect, and the content of the network's file if it has one; the
    content of the data, whatever their path is called, and the size of the split, or the fold, which decides the size;
    the code that trains, and the versions of the libraries beneath it.
    """
    decisive = config.canonical().model_dump(exclude={"data"})
    fold = config.data.fold
    decisive |= {"validation_rows": validation_rows} if fold is None else {"fold": fold}
    if source := find(config.network.name).source:
        decisive |= {"network_sha256": hashlib.sha256(source.encode()).hexdigest()}
    decisive |= {"data_sha256": data_sha256, "code": training_code_version()}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def training_code_version() -> str:
    """Return a hash (64 hex digits) of all but config and data that determines a trial's result.

    That is the training code, the libraries that it rests on, the compilers' flags in the environment, and
    RECORD_VERSION. A machine with another version is not let in as a worker.
    """
    flags = [xla_cache.flags(), *(os.environ.get(name, "") for name in COMPILER_FLAGS)]
    parts = [training_libraries(), RECORD_VERSION, _training_code(), *flags]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@cache
def _training_code() -> str:
    return code_hash(path.read_text(encoding="utf-8") for path in TRAINING_CODE)


@cache
def training_libraries() -> str:
    """Return the versions of the libraries that training rests on: ``tensorflow 2.21.0, keras 3.15.1, …``."""
    return ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy"))


def code_hash(sources: Iterable[str]) -> str:
    """Return a hash (64 hex digits) of what Python modules do, whatever they are called and however they are laid out.

    Docstrings, comments, import statements and the help texts of fields leave it unchanged, and so does the order of
    the modules: moving, renaming or explaining code costs no trials.
    """
    return hashlib.sha256("\n".join(sorted(map(_stripped, sources))).encode()).hexdigest()


def _stripped(source: str) -> str:
    return ast.unparse(_Stripper().visit(ast.parse(source)))


class _Stripper(ast.NodeTransformer):
    """Takes out of a syntax tree what does not change what the code does."""

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node  # a docstring, or a constant without effect

    def visit_keyword(self, node: ast.keyword) -> ast.keyword | None:
        if node.arg == "description":
            return None
        self.generic_visit(node)
        return node
