import pytest

from study.base.errors import StudyError, in_one_line, traceback_text
from study.base.passwords import has_password, is_ambiguous, without_password


@pytest.mark.parametrize("address, shown", [
    ("postgresql+psycopg://me:secret@db.example:5432/study", "postgresql+psycopg://me:***@db.example:5432/study"),
    ("postgresql://me:se@cret@db.example/study", "postgresql://me:***@db.example/study"),
    ("postgresql://me:se/c?r#e:t@db.example/study", "postgresql://me:***@db.example/study"),
    ("postgresql://me:my secret@db.example/study", "postgresql://me:***@db.example/study"),
    ("postgresql://:secret@db.example/study", "postgresql://:***@db.example/study"),
    ("postgresql://me:secret@db.example:abc/x", "postgresql://me:***@db.example:abc/x"),
    ("postgresql:///study?host=a&password=secret&user=me", "postgresql:///study?host=a&password=***&user=me"),
    ("postgresql://me@h/study?sslpassword=se%20cret", "postgresql://me@h/study?sslpassword=***"),
    ("host=db.example password=secret dbname=study", "host=db.example password=*** dbname=study"),
    ("host=h PASSWORD = 'my \\' secret' user=me", "host=h PASSWORD = *** user=me"),
    ("http://me:secret@mlflow.example:5000/x", "http://me:***@mlflow.example:5000/x"),
    ("https://token@mlflow.example", "https://***@mlflow.example"),
])  # fmt: skip
def test_no_password_is_shown(address, shown):
    assert without_password(address) == shown and has_password(address)
    assert without_password(shown) == shown


@pytest.mark.parametrize("address", [
    "postgresql+psycopg://me@db.example/study", "sqlite:///optuna.db", "sqlite:////data/a:b@c/x.db", "not an address",
    "http://127.0.0.1:5000: no server answers; ask me@example.com", "models:/mnist-mlp@champion", "auto",
    "FATAL: password authentication failed for user me",
])  # fmt: skip
def test_what_has_no_password_stays_as_it_is(address):
    assert without_password(address) == address and not has_password(address)


def test_no_error_shows_a_password():
    url = "postgresql://me:se@cret@there/x"
    texts = [
        str(StudyError("it fails", where=url, got=f"{url}?password=secret", hint=f"Try {url}.")),
        in_one_line(ValueError(url)),
    ]
    try:
        raise ValueError(f"no {url}")
    except ValueError as failure:
        texts.append(traceback_text(failure))
    for text in texts:
        assert "***@there/x" in text and "cret" not in text


@pytest.mark.parametrize("address, ambiguous", [
    ("postgresql://me:p@ss@host/db", True), ("postgresql://me:p@s/s@host/db", True),
    ("postgresql://me:p%40ss@host/db", False), ("postgresql://me:p/ss@host/db", False),
    ("postgresql://me@host/db?application_name=a@b", False), ("sqlite:///a:b@c@d.db", False), ("auto", False),
])  # fmt: skip
def test_a_password_with_a_bare_at_sign_is_told_from_others(address, ambiguous):
    assert is_ambiguous(address) == ambiguous
