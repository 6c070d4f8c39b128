"""Put published subtitles, or texts of clips, of one shard's videos into a table of transcripts."""

import argparse
import logging
from pathlib import Path

from workflow_scripts.lib.datasets.subtitle_folder import read_shard
from workflow_scripts.lib.datasets.transcript_files import OK, write_shard
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.store.settings_files import add_settings_options
from workflow_scripts.lib.store.shard_job import FAILED

log = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--rows-of", required=True, type=Path, help="table of all videos")
    parser.add_argument("--shard", required=True, help="name of the shard")
    parser.add_argument("--n-shards", required=True, type=int, help="number of shards")
    parser.add_argument("--out", required=True, type=Path, help="table of the shard's transcripts (.parquet)")
    args = parser.parse_args()
    settings = read_feature_settings(args.settings, args.key)
    found = read_shard(settings, args.rows_of, args.shard, args.n_shards)
    write_shard(args.out, settings["dataset"], None, found, settings["recipe"], settings["recipe"]["layout"])
    for video_id, kept in found.items():
        if kept["status"] == FAILED:
            log.warning("%s: %s", video_id, kept["reason"])
    n_spoken = sum(kept["status"] == OK for kept in found.values())
    log.info("%s: %d of %d videos have texts", settings["source"]["path"], n_spoken, len(found))


if __name__ == "__main__":
    run_entry_point(main)
