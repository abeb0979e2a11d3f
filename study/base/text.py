"""Makes text of people and libraries fit to be shown: on a terminal it can't move the cursor or reverse the line."""

import unicodedata


def readable(text: str) -> str:
    r"""Return text in which every character that isn't shown is written as its escape, such as ``\x1b``.

    Line breaks stay. So do all letters of all scripts; a byte of a file name that isn't UTF-8 becomes ``\xff``.
    """
    if text.isprintable():
        return text
    return "".join(character if _is_shown(character) else _escaped(character) for character in text)


def in_one_line(text: str) -> str:
    """Return text as `readable` does, with each line break as a space."""
    return readable(" ".join(text.splitlines()))


def _is_shown(character: str) -> bool:
    return character == "\n" or character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for a byte of a file name
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
