"""Show what comes from elsewhere: how large it is, under which licence, what is there and how to get the rest."""

import argparse
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.planning.sizes import readable_size, stated_bytes

WIDTH = 100


def main() -> None:
    """Print a paragraph for everything, and how much is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listing", type=Path, help="JSON file that the workflow writes, one object per row")
    rows = json.loads(parser.parse_args().listing.read_text(encoding="utf-8"))
    for row in rows:
        print("\n".join(paragraph(row)))
    missing = [row for row in rows if not row["is_here"]]
    total = readable_size(sum(row["size"] or stated_bytes(row["about"]) for row in missing))
    unknown = sum(not (row["size"] or row["about"]) for row in missing)
    print(f"{len(rows)} listed, {len(missing)} not here: {total}", end="")
    print(f" and {unknown} whose size is not known" if unknown else "")


def paragraph(row: dict[str, Any]) -> Iterator[str]:
    """Yield the lines about one thing."""
    head = [row["name"], presence(row), size_of(row)]
    if row["used_by"]:
        head.append(f"read by {row['used_by']}")
    details = [f"{row['place']}" + (f" ({row['licence']})" if row["licence"] else "")]
    if not row["is_here"]:
        details += [("or: " if number else "") + way for number, way in enumerate(row["ways"])]
    yield from textwrap.wrap(" · ".join(head), WIDTH, subsequent_indent="    ")
    for line in details:
        yield from textwrap.wrap(
            line,
            WIDTH,
            initial_indent="    ",
            subsequent_indent="      ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def presence(row: dict[str, Any]) -> str:
    """Return `here`, `not here`, how many of how many are here, or what is wrong with it."""
    if row["wrong"]:
        return row["wrong"]
    part = Path(row["place"]).with_name(f"{Path(row['place']).name}.part")
    if part.is_file():
        return f"{readable_size(part.stat().st_size)} of it here"
    if row["n_all"] == 1 or not row["n_here"]:
        return "here" if row["is_here"] else "not here"
    return f"{row['n_here']:,} of {row['n_all']:,} here" if row["n_all"] else f"{row['n_here']:,} files here"


def size_of(row: dict[str, Any]) -> str:
    """Return the size, or the rough size, for people."""
    return f"about {row['about']}" if row["size"] is None and row["about"] else readable_size(row["size"])


if __name__ == "__main__":
    run_entry_point(main)
