"""Plan which frames of one shard's videos a network sees: sampling rule and packet times in, frame numbers out."""

import argparse
import functools
import json
import logging
import time
from pathlib import Path

import pyarrow as pa

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.media.plan_table import PLAN_SCHEMA, plan_row
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings
from workflow_scripts.lib.store.tables import read_table, write_table

log = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--media", required=True, type=Path, help="media table of the shard")
    parser.add_argument("--out", required=True, type=Path, help="plan to write")
    args = parser.parse_args()
    settings = read_settings(args.settings, args.key)
    folder, rule = Path(settings["videos"]), settings["sampling"]
    started = time.monotonic()
    media = read_table(args.media, ["video_id", "digest", "path", "status", "stream_index"]).to_pylist()
    usable = [row for row in media if row["status"] == "ok"]
    rows = [
        {"video_id": row["video_id"], "digest": row["digest"]}
        | plan_row(functools.partial(frame_times, folder / row["path"], row["stream_index"]), rule)
        for row in usable
    ]
    for row in rows:
        if row["reason"]:
            log.warning("%s: %s", row["video_id"], row["reason"])
    write_table(args.out, pa.Table.from_pylist(rows, PLAN_SCHEMA), {"sampling": json.dumps(rule, sort_keys=True)})
    n_frames = sum(len(row["frame_idx"]) for row in rows)
    log.info("planned %d frames of %d videos in %.1f s", n_frames, len(rows), time.monotonic() - started)


if __name__ == "__main__":
    run_entry_point(main)
