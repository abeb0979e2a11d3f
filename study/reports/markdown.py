"""Text of people in Markdown."""

import re


def plain(text: object) -> str:
    """Return text in which Markdown finds no marks of its own."""
    # An underscore between letters or digits marks nothing.
    text = re.sub(r"([\\`*\[\]<>|#~&!]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"^(\d{0,9})([-+.)])(?=[\s-]|$)", r"\1\\\2", text)  # of a list or a rule
