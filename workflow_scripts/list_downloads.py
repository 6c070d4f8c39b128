"""Show what comes from elsewhere: how large it is, under which licence, what is there and how to get the rest."""

import argparse
import json
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import run_entry_point

UNITS = ("B", "kB", "MB", "GB", "TB")
COLUMNS = ("name", "size", "here", "licence", "used by", "place", "how to get it")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listing", type=Path, help="JSON file that the workflow writes, one object per row")
    rows = json.loads(parser.parse_args().listing.read_text(encoding="utf-8"))
    lines = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    missing = [row for row in rows if presence(row) != "yes"]
    known = sum(row["size"] for row in missing if row["size"])
    unknown = sum(row["size"] is None for row in missing)
    print(f"{len(rows)} listed, {len(missing)} not here: {readable(known)}", end="")
    print(f" and {unknown} whose exact size is not known" if unknown else "")


def presence(row: dict[str, Any]) -> str:
    """Return `yes`, `no`, how much of the file has arrived, or that its size is wrong."""
    path = Path(row["place"])
    compressed, part = path.with_name(f"{path.name}.gz"), path.with_name(f"{path.name}.part")
    if path.is_dir():
        return "yes" if any(path.iterdir()) else "no"
    if path.is_file():
        has_size = row["size"] in (None, path.stat().st_size)
        return "yes" if has_size else f"wrong size: {readable(path.stat().st_size)}"
    if compressed.is_file():
        return "yes"
    return f"{readable(part.stat().st_size)} of it" if part.is_file() else "no"


def readable(size: int | None) -> str:
    """Return a number of bytes for people."""
    if size is None:
        return "unknown"
    value, unit = float(size), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {UNITS[unit]}"


def size_of(row: dict[str, Any]) -> str:
    """Return the size, or the rough size, for people."""
    return f"about {row['about']}" if row["size"] is None and row["about"] else readable(row["size"])


def how_to_get(row: dict[str, Any]) -> str:
    """Return what to do about something that is not here."""
    if row["page"] is None:
        return row["command"]
    return f"get it from {row['page']}, put it at {row['put_at']}" + (row["command"] and f", then {row['command']}")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    here = presence(row)
    how = "" if here == "yes" else how_to_get(row)
    return (row["name"], size_of(row), here, row["licence"], row["used_by"], row["place"], how)


if __name__ == "__main__":
    run_entry_point(main)
