"""What made a run: the commit, uncommitted changes, packages and the processor.

Every study and every trial has the tags. Only the study's run has the files, because all its trials share them.
"""

import platform
import re
import subprocess
from importlib.metadata import distributions
from pathlib import Path

from study.base.passwords import without_password
from study.base.processor import processor
from study.tracking import tags

PACKAGES, CHANGES = "provenance/packages.txt", "provenance/uncommitted.diff"
MOST_BYTES = 1_000_000  # of the changes that a run keeps
MOST_OF_A_LINE = 10_000  # characters; what is longer is data, not code
GIT_SECONDS = 10
HERE = Path(__file__).parent  # in the checkout whose code runs
ORIGIN = (tags.GIT_COMMIT, tags.GIT_DIRTY, tags.PROCESSOR, tags.PROCESSOR_FEATURES)  # what `origin_tags` may have

HIDDEN = "***"
# A value in quotes, or all that follows, after a name that says it is secret; and what is a secret by its form.
_NAMED = re.compile(
    r"""(\b\w*(?:secret|token|api_?key|passw(?:or)?d|credential)\w*["']?\s*[:=]\s*)(?:"[^"]{6,}"|'[^']{6,}'|[^\s"'(]{12,}$)""",
    re.I,
)
_FORMS = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[opsu]_\w{30,}|github_pat_\w{30,}|glpat-[\w-]{15,}|xox[abps]-[\w-]{10,}|hf_\w{30,}|"
    r"sk-[\w-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"
)
_KEY_BEGINS, _KEY_ENDS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"), re.compile(r"-----END [A-Z ]*PRIVATE KEY")


def origin_tags() -> dict[str, str]:
    """Return the tags of the running code and of this machine's processor."""
    model, features = processor()
    return code_tags() | {tags.PROCESSOR: model, tags.PROCESSOR_FEATURES: features}


def code_tags() -> dict[str, str]:
    """Return the running code's commit and whether it was changed since, as tags; empty outside a git checkout."""
    try:
        commit, status = (_git(*words).strip() for words in (["rev-parse", "HEAD"], ["status", "--porcelain"]))
    except (OSError, subprocess.SubprocessError):
        return {}
    return {tags.GIT_COMMIT: commit, tags.GIT_DIRTY: str(bool(status)).lower()}


def files() -> dict[str, bytes | str]:
    """Return what a study's run keeps, by path: the installed packages and, in a changed checkout, the changes."""
    found: dict[str, bytes | str] = {PACKAGES: packages()}
    try:
        diff, status = _git("diff", "--no-ext-diff", "HEAD"), _git("status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return found
    new = [line.removeprefix("?? ") for line in status.splitlines() if line.startswith("?? ")]
    if diff or new:
        found[CHANGES] = "".join(f"# not in git: {without_secrets(name)}\n" for name in new) + changes(diff)
    return found


def packages() -> str:
    """Return Python's version and the version of every installed package, a line each, as pip's requirements."""
    versions = set()
    for found in distributions():  # their own properties parse the whole text, its long description included
        text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
        name, version = (re.search(rf"^{key}: *(.+?)\s*$", text, re.M) for key in ("Name", "Version"))
        if name and version:
            versions.add(f"{name[1].lower()}=={version[1]}")
    return "\n".join([f"# Python {platform.python_version()}", *sorted(versions)]) + "\n"


def changes(diff: str) -> str:
    """Return a diff without secrets, of at most MOST_BYTES; its first line says so if anything is left out."""
    kept, hidden, size, in_key = [], 0, 0, False
    lines = diff.splitlines(keepends=True)
    for line in lines:
        clean = without_secrets(line) if len(line) <= MOST_OF_A_LINE else f"{line[:1]}{HIDDEN}\n"
        begins, ends = _KEY_BEGINS.search(line), _KEY_ENDS.search(line)
        if (in_key := in_key or bool(begins)) and not (begins or ends):
            clean = f"{line[:1]}{HIDDEN}\n"
        in_key = in_key and not ends
        size += len(clean.encode(errors="replace"))
        if size > MOST_BYTES:
            break
        hidden += clean != line
        kept.append(clean)
    left_out = [f"{hidden} lines with secrets, or too long to be code, are hidden"] if hidden else []
    left_out += [f"only the first {len(kept):,} of {len(lines):,} lines are kept"] if len(kept) < len(lines) else []
    return "".join([*(f"# {what}\n" for what in left_out), *kept])


def without_secrets(line: str) -> str:
    """Return a line of code or text with whatever looks like a password, a token or a key hidden."""
    return _FORMS.sub(HIDDEN, _NAMED.sub(rf'\1"{HIDDEN}"', without_password(line)))


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, check=True, timeout=GIT_SECONDS)
    return done.stdout.decode(errors="replace")
