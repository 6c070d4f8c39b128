"""Plan which frames of one shard's videos a network sees: sampling rule and packet times in, frame numbers out."""

import argparse
import functools
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.media.media_error import MediaError
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.sampling import FrameTimes, plan_frames
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings
from workflow_scripts.lib.store.tables import read_table, write_table

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("digest", pa.string()),
        ("frame_idx", pa.list_(pa.int32())),
        ("start_s", pa.list_(pa.float64())),
        ("end_s", pa.list_(pa.float64())),
        ("frames_per_row", pa.list_(pa.int32())),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)


def plan_video(times_of: Callable[[], FrameTimes], rule: dict[str, Any]) -> dict[str, Any]:
    """Return the plan's columns for one video; a file that cannot be demuxed becomes a status.

    `frames_per_row` is null where every row has one frame; else `frame_idx` holds the frames row after row.
    """
    try:
        frame_idx, times, per_row = plan_frames(rule, times_of())
    except MediaError as error:
        nothing = {"frame_idx": [], "start_s": [], "end_s": [], "frames_per_row": None}
        return nothing | {"status": "failed", "reason": str(error)}
    columns = {"start_s": times[:, 0].tolist(), "end_s": times[:, 1].tolist()}
    columns["frames_per_row"] = None if per_row is None else per_row.tolist()
    return {"frame_idx": frame_idx.tolist(), **columns, "status": "ok", "reason": ""}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--media", required=True, type=Path, help="media table of the shard")
    parser.add_argument("--out", required=True, type=Path, help="plan to write")
    args = parser.parse_args()
    settings = read_settings(args.settings, args.key)
    folder, rule = Path(settings["videos"]), settings["sampling"]
    started = time.monotonic()
    media = read_table(args.media, ["video_id", "digest", "path", "status"]).to_pylist()
    usable = [row for row in media if row["status"] == "ok"]
    rows = [
        {"video_id": row["video_id"], "digest": row["digest"]}
        | plan_video(functools.partial(frame_times, folder / row["path"]), rule)
        for row in usable
    ]
    write_table(args.out, pa.Table.from_pylist(rows, SCHEMA), {"sampling": json.dumps(rule, sort_keys=True)})
    n_frames = sum(len(row["frame_idx"]) for row in rows)
    log.info("planned %d frames of %d videos in %.1f s", n_frames, len(rows), time.monotonic() - started)


if __name__ == "__main__":
    run_entry_point(main)
