"""How often shards were missing behind a finished index: a note beside the index, written by the job that makes it."""

import argparse
import json
from pathlib import Path

from workflow_scripts.lib.store.atomic import write_json

LOST_FILE = "lost.json"


def add_lost_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which the job of an index gets the number and its place."""
    parser.add_argument("--times-lost", type=int, default=0, metavar="N", help="how often shards had been lost (0)")
    parser.add_argument("--lost", required=True, type=Path, metavar="FILE", help="note of that number to write (JSON)")


def read_times_lost(path: Path) -> int:
    """Return the number in a note, 0 if there is none."""
    return json.loads(path.read_text(encoding="utf-8")).get("times_lost", 0) if path.is_file() else 0


def write_times_lost(path: Path, times_lost: int) -> None:
    """Write the note."""
    write_json(path, {"times_lost": times_lost})
