"""Writes people's text in Markdown, so that nothing in it is taken for a mark."""

import re

from study.base.text import readable


def plain(text: object) -> str:
    """Return text in which Markdown finds no marks of its own."""
    # An underscore between letters or digits marks nothing.
    text = re.sub(r"([\\`*\[\]<>|#~&!]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", readable(" ".join(str(text).split())))
    return re.sub(r"^(\d{0,9})([-+.)])(?=[\s-]|$)", r"\1\\\2", text)  # of a list or a rule


def code_block(text: str, language: str) -> str:
    """Return text as a block of code that nothing in the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{readable(text)}\n{fence}"
