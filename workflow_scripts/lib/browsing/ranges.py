"""The range of bytes that a player asks for (RFC 9110, section 14)."""

import re

_ONE = re.compile(r"bytes=(\d*)-(\d*)")


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last; None: all.

    Parameters
    ----------
    header : of the request; what is not one range of bytes is passed over, as a server may
    size : of the file

    Raises
    ------
    ValueError
        there is no such byte
    """
    asked = _ONE.fullmatch(header or "")
    if asked is None or asked[0] == "bytes=-":
        return None
    first, last = asked.groups()
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= size or (first and last and int(last) < start) or (not first and int(last) == 0):
        raise ValueError(f"bytes {header} of {size}")
    return start, end
