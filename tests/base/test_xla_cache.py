"""The folder in which XLA's programs are kept: whole files only, and the same bits with it and without."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.base import xla_cache

ROOT = Path(__file__).resolve().parents[2]
TRAINING = """
import hashlib
from study.data.dataset import load_dataset
from study.training import loop
from study.training.config import TrialConfig
result = loop.train(TrialConfig.parse({"hidden": 8, "epochs": 2, "data": "digits"}), load_dataset("digits"))
print(result.compiler, hashlib.sha256(b"".join(weights.tobytes() for weights in result.weights)).hexdigest())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return this test's own folder for the files, with the environment that leads there."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv(xla_cache.FLAGS, raising=False)
    monkeypatch.delenv(xla_cache.SWITCH, raising=False)
    return xla_cache._folder()


def kept(folder: Path, number: int, content: bytes = b"program") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"xla_compile_cache__{number}__XLA_CPU_JIT.pb"
    file.write_bytes(content)
    os.utime(file, (number, number))
    return file


def test_a_file_that_is_not_as_it_was_written_is_removed(folder):
    whole, cut, unsealed = (kept(folder, number) for number in (1, 2, 3))
    xla_cache.seal()
    cut.write_bytes(b"prog")
    unsealed.with_name(unsealed.name + ".sha256").unlink()
    forgotten = kept(folder, 4).rename(folder / "xla_compile_cache__4.pbhost.tmp")
    assert xla_cache.mend()
    assert sorted(path.name for path in folder.iterdir()) == [whole.name, whole.name + ".sha256"]
    assert not xla_cache.mend() and not forgotten.exists()


def test_the_oldest_files_make_room(folder, monkeypatch):
    files = [kept(folder, number, bytes(100)) for number in (1, 2, 3)]
    xla_cache.seal()
    monkeypatch.setattr(xla_cache, "MOST_BYTES", 250)
    assert not xla_cache.mend()
    assert [file.exists() for file in files] == [False, True, True]


def test_the_cache_can_be_switched_off_and_is_no_part_of_the_flags(folder, monkeypatch):
    monkeypatch.setenv(xla_cache.SWITCH, "off")
    xla_cache.use()
    assert xla_cache.FLAGS not in os.environ
    monkeypatch.delenv(xla_cache.SWITCH)
    monkeypatch.setenv(xla_cache.FLAGS, "--tf_xla_min_cluster_size=3")
    xla_cache.use()
    assert os.environ[xla_cache.FLAGS] == f"--tf_xla_min_cluster_size=3 {xla_cache.FLAG}{folder}"
    assert xla_cache.flags() == "--tf_xla_min_cluster_size=3"
    assert folder.parent.parent.stat().st_mode & 0o077 == 0


def trained(before: str = "") -> subprocess.CompletedProcess:
    words = [sys.executable, "-c", before + TRAINING]
    return subprocess.run(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
                          text=True, check=True)  # fmt: skip


@pytest.mark.slow
def test_results_are_the_same_bits_compiled_here_before_and_with_a_damaged_file(folder):
    first = trained()
    (file,) = folder.glob("*.pb")
    again = trained()
    assert again.stdout == first.stdout and again.stderr == first.stderr == ""
    damage = f"from study.base import backend\nopen({str(file)!r}, 'wb').close()"  # after the look at the start
    assert trained(damage).stdout == first.stdout
    assert [path.stat().st_size > 0 for path in folder.glob("*.pb")] == [True]
