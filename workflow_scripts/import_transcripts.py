"""Put published subtitles, or texts of clips, of one shard's videos into a table of transcripts."""

import argparse
import logging
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.subtitle_folder import SOURCE as SUBTITLES
from workflow_scripts.lib.datasets.subtitle_folder import read_shard
from workflow_scripts.lib.datasets.text_coverage import coverage_lines
from workflow_scripts.lib.datasets.transcript_files import OK, write_shard
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.store.settings_files import add_settings_options
from workflow_scripts.lib.store.shard_job import FAILED
from workflow_scripts.lib.store.tables import read_table

log = logging.getLogger(__name__)


def _spans(found: dict[str, dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    segments = {video_id: kept["segments"] for video_id, kept in found.items() if kept["segments"]}
    return {video_id: [(each["start_s"], each["end_s"]) for each in own] for video_id, own in segments.items()}


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
    videos = read_table(args.rows_of, ["video_id", "duration_s"]).to_pylist()
    durations_s = {row["video_id"]: row["duration_s"] for row in videos}
    for line in coverage_lines(_spans(found), durations_s, settings["recipe"]["layout"] != SUBTITLES):
        log.warning("%s: %s", settings["source"]["path"], line)
    n_spoken = sum(kept["status"] == OK for kept in found.values())
    log.info("%s: %d of %d videos have texts", settings["source"]["path"], n_spoken, len(found))


if __name__ == "__main__":
    run_entry_point(main)
