"""Put published feature files of one shard's videos (or queries) into a feature store."""

import argparse
import logging
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.imported_shard import ImportedShard
from workflow_scripts.lib.extraction.job import run_job
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.store.settings_files import add_settings_options
from workflow_scripts.lib.store.shard_store import read_shard_index

log = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--rows-of", required=True, type=Path, help="table of all videos (text: of all queries)")
    parser.add_argument("--shard", required=True, help="name of the shard")
    parser.add_argument("--n-shards", required=True, type=int, help="number of shards")
    parser.add_argument("--store", required=True, type=Path, help="shard store to bring up to date (a .zarr folder)")
    parser.add_argument("--report", required=True, type=Path, help="table of what was found, to write")
    args = parser.parse_args()
    settings = read_feature_settings(args.settings, args.key)
    imported = ImportedShard(settings, args.rows_of, args.shard, args.n_shards)
    run_job(settings, args.store, imported.wanted(), imported.compute)
    _, held = read_shard_index(args.store)
    write_text(args.report, imported.report(held))
    if wrong := imported.wrong_rate():
        log.warning("config/features/%s.yaml: %s", settings["feature"], wrong)
    n_ok = sum(video.status == "ok" for video in held)
    log.info("%s: %d of %d imported; see %s", settings["source"]["path"], n_ok, len(held), args.report)


if __name__ == "__main__":
    run_entry_point(main)
