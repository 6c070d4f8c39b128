"""The command line that the entry points for single files share."""

import argparse
from pathlib import Path

from workflow_scripts.lib.fetching.download import fetch
from workflow_scripts.lib.fetching.source import FILE_SETTINGS, Source
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings


def fetch_from_command_line(description: str) -> None:
    """Fetch one file."""
    parser = argparse.ArgumentParser(description=description)
    add_settings_options(parser)
    parser.add_argument("--out", required=True, type=Path, help="where the file goes")
    args = parser.parse_args()
    settings = read_settings(args.settings, args.key, FILE_SETTINGS)
    fetch(Source(**settings["source"]), args.out, mirror=settings["mirror"])
