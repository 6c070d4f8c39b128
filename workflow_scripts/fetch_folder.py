"""Download a published archive and unpack it into its folder, unless the folder holds something."""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.fetching.folders import fetch_folder
from workflow_scripts.lib.fetching.source import FOLDER_SETTINGS, Source
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings


def main() -> None:
    """Fetch, unpack, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--out", required=True, type=Path, help="record of what was done (JSON)")
    args = parser.parse_args()
    settings = read_settings(args.settings, args.key, FOLDER_SETTINGS)
    source = Source(**settings["source"])
    archive, folder, layout = settings["archive"], Path(settings["folder"]), settings["layout"]
    done = fetch_folder(source, archive, folder, layout, settings["mirror"], settings["inside"])
    write_json(args.out, {**done, "licence": source.licence, "sha256": source.sha256})


if __name__ == "__main__":
    run_entry_point(main)
