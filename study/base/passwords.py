"""Takes passwords out of text: out of addresses, and out of errors and logs that repeat an address.

Every error of this project goes through here (`base/errors.py`), and so does every address that is shown or recorded.
"""

import re

HIDDEN = "***"
HOW_TO_ESCAPE = "In a password write @ as %40, / as %2F and a space as %20."

# From the user's colon to the last @ of the word: a password may have an @, a slash or a colon in it.
_IN_WORD = re.compile(r"(://[^\s:/?#@]*:)(?!\*\*\*@)\S*@")
# The same with spaces, unless the colon begins a port.
_WITH_SPACES = re.compile(r"(://[^\s:/?#@]*:)(?!\*\*\*@|\d+(?:\W|$))[^\n@]*@")
_TOKEN = re.compile(r"(https?://)(?!\*\*\*@)[^\s:/?#@]+@")  # a user alone, which is often a token
_KEY = r"\w*(?:password|passwd|passphrase)"
_QUERY = re.compile(rf"([?&]{_KEY}=)(?!\*\*\*)[^\s&]*", re.I)
_PAIR = re.compile(rf"((?<![?&\w]){_KEY}\s*=\s*)(?!\*\*\*)(?:'(?:[^'\\]|\\.)*'?|\S+)", re.I)  # as libpq has it
_REPEATED = re.compile(r"://[^\s:/?#@]*:[^?@]*@[^?]*@")


def without_password(text: str) -> str:
    """Return text with every password in it hidden, and an address otherwise as it was.

    Passwords are found in ``scheme://user:PASSWORD@host``, also with characters that should have been escaped, in
    ``?password=`` and ``&sslpassword=``, and in libpq's ``password=…``.
    """
    for pattern in (_IN_WORD, _WITH_SPACES):
        text = pattern.sub(rf"\1{HIDDEN}@", text)
    text = _TOKEN.sub(rf"\1{HIDDEN}@", text)
    for pattern in (_QUERY, _PAIR):
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def has_password(address: str) -> bool:
    """Return whether an address has a password in it."""
    return without_password(address) != address


def is_ambiguous(address: str) -> bool:
    """Return whether an address has a second ``@``, so that a library takes a part of the password for the host.

    That part would then be in the library's errors, where nobody can tell it from a host.
    """
    return bool(_REPEATED.search(address))
