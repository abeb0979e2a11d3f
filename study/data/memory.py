"""Checks whether data fit into the memory before they are loaded."""

from study.base.errors import DataError
from study.base.processes import memory_available


def check_fits(needed: float, where: object, hint: str | None = None, what: str = "the data need") -> None:
    """Raise DataError if so many bytes are more than the memory that is free."""
    available = memory_available()
    if needed > available:
        expected, got = (f"{size / 1e9:.2f} GB" for size in (available, needed))
        raise DataError(
            f"{what} more memory than is free", where=where, expected=f"at most {expected}", got=got, hint=hint
        )
