"""Clips of YouTube videos that are called `<YouTube id>_<first second>_<last second>`, as in MSVD and VATEX."""

import re
from typing import Any

from workflow_scripts.lib.datasets.errors import BadValue

_NAME = re.compile(r"(?P<youtube_id>[A-Za-z0-9_-]{11})_(?P<start>\d+)_(?P<end>\d+)")


def clip_columns(name: str, where: str) -> dict[str, Any]:
    """Return duration, address and place of a clip, as columns of its video.

    Raises
    ------
    BadValue
        If it is not called so, or ends before it begins.
    """
    match = _NAME.fullmatch(name)
    start_s, end_s = (float(match["start"]), float(match["end"])) if match else (0.0, 0.0)
    if not match or end_s <= start_s:
        raise BadValue(where, repr(name), "<YouTube id>_<first second>_<last second>, such as aaaaaaaaaaa_3_12")
    place = {"clip_start_s": start_s, "clip_end_s": end_s}
    return {"duration_s": end_s - start_s, "youtube_id": match["youtube_id"], **place}
