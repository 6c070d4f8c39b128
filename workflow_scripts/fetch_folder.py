"""Download a published archive and unpack it into its folder, unless the folder holds something."""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.fetching.command_line import add_source
from workflow_scripts.lib.fetching.folders import fetch_folder
from workflow_scripts.lib.store.atomic import write_json


def main() -> None:
    """Fetch, unpack, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_source(parser)
    parser.add_argument("--archive", required=True, help="name of the archive file; one beside the folder is used")
    parser.add_argument("--folder", required=True, type=Path, metavar="DIR", help="where its content goes")
    parser.add_argument(
        "--layout", choices=("tree", "flat"), default="tree", help="flat: put all files directly into the folder"
    )
    parser.add_argument("--out", required=True, type=Path, help="record of what was done (JSON)")
    arguments = parser.parse_args()
    done = fetch_folder(arguments.source, arguments.archive, arguments.folder, arguments.layout)
    write_json(arguments.out, {**done, "licence": arguments.source.licence, "sha256": arguments.source.sha256})


if __name__ == "__main__":
    run_entry_point(main)
