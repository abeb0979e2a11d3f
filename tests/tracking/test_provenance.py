"""What a run was made by: changes in a real checkout, without secrets, and the installed packages."""

import subprocess
from importlib.metadata import version

import pytest

from study.tracking import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one committed file, whose code runs."""

    def git(*words):
        own = ["-c", "user.name=me", "-c", "user.email=me@here", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *own, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "code.py").write_text("rate = 1\n")
    git("add", "code.py")
    git("commit", "-m", "first")
    monkeypatch.setattr(provenance, "HERE", tmp_path)
    return tmp_path


def test_a_clean_checkout_keeps_its_packages_only(checkout):
    found = provenance.files()
    assert list(found) == [provenance.PACKAGES]
    lines = found[provenance.PACKAGES].splitlines()
    assert lines[0].startswith("# Python 3.") and f"mlflow=={version('mlflow')}" in lines
    assert provenance.code_tags()["git_dirty"] == "false"


def test_changes_are_kept_and_new_files_are_named(checkout):
    (checkout / "code.py").write_text("rate = 2\nurl = 'https://me:pa55@host/x'\n")
    (checkout / "new.py").write_text("secret\n")
    kept = provenance.files()[provenance.CHANGES]
    assert kept.startswith("# not in git: new.py\n# 1 lines with secrets") and "-rate = 1\n+rate = 2\n" in kept
    assert "pa55" not in kept and "https://me:***@host/x" in kept
    assert provenance.code_tags()["git_dirty"] == "true" and set(provenance.origin_tags()) == set(provenance.ORIGIN)


def test_outside_a_checkout_there_are_no_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "HERE", tmp_path)
    assert list(provenance.files()) == [provenance.PACKAGES] and provenance.code_tags() == {}
    assert set(provenance.origin_tags()) == {"processor", "processor_features"} < set(provenance.ORIGIN)


@pytest.mark.parametrize(
    "line",
    [
        "+API_KEY = 'abcdef123456'",
        '+  "client_secret": "abcdef123456",',
        "+AWS_SECRET_ACCESS_KEY=abcdef123456",
        "+x = 'ghp_abcdef123456abcdef123456abcdef123456'",
        "+postgresql://me:abcdef123456@db/x",
        "+PGPASSWORD=abcdef123456",
        "+Authorization: Bearer eyJabcdef123456.abcdef123456.abcdef123456",
    ],
)
def test_secrets_are_hidden(line):
    kept = provenance.changes(f"{line}\n")
    assert "abcdef123456" not in kept and provenance.HIDDEN in kept


def test_private_keys_are_hidden():
    diff = "+-----BEGIN RSA PRIVATE KEY-----\n+abc\n+def\n+-----END RSA PRIVATE KEY-----\n+after\n"
    kept = provenance.changes(diff)
    assert "abc" not in kept and "def" not in kept and kept.endswith("+after\n")


@pytest.mark.parametrize(
    "line", ["+token = words[0]", "+    key = dict(secret)", "-def password(self) -> str:", "+learning_rate: 0.001"]
)
def test_ordinary_code_stays(line):
    assert provenance.changes(f"{line}\n") == f"{line}\n"


def test_large_changes_are_cut_and_say_so():
    kept = provenance.changes(f"+{'x' * 99}\n" * 20_000)
    assert len(kept) < provenance.MOST_BYTES + 200
    assert kept.startswith("# only the first 9,900 of 20,000 lines are kept\n")
    assert provenance.changes("+" + "://a:" * 100_000 + "\n").endswith(f"+{provenance.HIDDEN}\n")
