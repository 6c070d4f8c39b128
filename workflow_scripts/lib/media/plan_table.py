"""The table of a sampling plan: per video the frames that a network sees, and how a decoder finds them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.lib.media.frame_request import FrameClock
from workflow_scripts.lib.media.media_error import MediaError
from workflow_scripts.lib.media.sampling import FrameTimes, plan_frames

PLAN_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("digest", pa.string()),
        ("frame_idx", pa.list_(pa.int32())),
        ("start_s", pa.list_(pa.float64())),
        ("end_s", pa.list_(pa.float64())),
        ("frames_per_row", pa.list_(pa.int32())),
        ("is_timed", pa.bool_()),
        ("n_frames", pa.int32()),
        ("clock_after", pa.list_(pa.float64())),
        ("clock_until", pa.list_(pa.float64())),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
"""`frame_idx` to `frames_per_row` are described in `FramePlan`, the next four in `FrameClock`. A video without plan has
no frames, and null for what is not known of it."""


def plan_row(times_of: Callable[[], FrameTimes], rule: dict[str, Any]) -> dict[str, Any]:
    """Return the plan's columns for one video; a file that cannot be demuxed becomes a status.

    `frames_per_row` is null where every row has one frame; else `frame_idx` holds the frames row after row.
    """
    try:
        media = times_of()
        frame_idx, times, per_row = plan_frames(rule, media)
    except MediaError as error:
        return {"frame_idx": [], "start_s": [], "end_s": [], "status": "failed", "reason": str(error)}
    # The first picture that can be decoded stands for those in front of it.
    frame_idx = np.maximum(frame_idx, media.n_leading)
    columns = {"start_s": times[:, 0].tolist(), "end_s": times[:, 1].tolist()}
    columns["frames_per_row"] = None if per_row is None else per_row.tolist()
    clock = FrameClock.of_frames(media, frame_idx)
    return {"frame_idx": frame_idx.tolist(), **columns, **clock.columns(), "status": "ok", "reason": _note(media)}


def _note(media: FrameTimes) -> str:
    if not media.n_leading:
        return ""
    return f"{media.n_leading} pictures at the begin need one that is not in the file; the next one stands for them"
