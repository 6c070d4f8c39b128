"""Numbers of bytes as people write them."""

import re

UNITS = ("B", "kB", "MB", "GB", "TB")


def readable_size(size: int | float | None) -> str:
    """Return a number of bytes for people."""
    if size is None:
        return "unknown"
    value, unit = float(size), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {UNITS[unit]}"


def stated_bytes(about: str | None) -> int:
    """Return the bytes of a rough size such as `55 GB`; 0 where there is none."""
    match = re.search(r"([0-9.]+)\s*([kMGT]?B)", about or "")
    return round(float(match[1]) * 1000 ** UNITS.index(match[2])) if match else 0
