"""The command line that the entry points for single files share."""

import argparse
from pathlib import Path

from workflow_scripts.lib.fetching.download import fetch
from workflow_scripts.lib.fetching.source import Source


def fetch_from_command_line(description: str) -> None:
    """Fetch one file."""
    parser = argparse.ArgumentParser(description=description)
    add_source(parser)
    parser.add_argument("--out", required=True, type=Path, help="where the file goes")
    arguments = parser.parse_args()
    fetch(arguments.source, arguments.out)


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where something is published."""
    parser.add_argument(
        "--source", required=True, type=Source.from_json, metavar="JSON", help="url, licence, sha256, size and page"
    )
