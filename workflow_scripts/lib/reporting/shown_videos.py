"""The videos of a report: where each file is, seen from the page, and what is said in it when."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.datasets.video_folder import list_videos, located
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.tables import read_table

MAX_SPEECH_CHARACTERS = 1_000_000
"""So much of what is said is in a page; it would be most of it otherwise."""

Line = list[Any]
"""Start and end in seconds, text."""


@dataclass(frozen=True)
class VideoFile:
    """The file of a video.

    Attributes
    ----------
    path : None where there is none
    reason : why not
    codec : as a probe found it; empty where nobody probed
    duration_s : likewise; None
    """

    path: Path | None
    reason: str = ""
    codec: str = ""
    duration_s: float | None = None


def video_files(results: Path, video_ids: Sequence[str]) -> dict[str, VideoFile]:
    """Return the files of videos as they are now.

    Parameters
    ----------
    results : folder of the results of the dataset that has the videos
    """
    settings = results / "media" / "settings.json"
    if not settings.is_file():
        return dict.fromkeys(video_ids, VideoFile(None, f"{settings} does not say where the videos are"))
    described = json.loads(settings.read_text(encoding="utf-8"))
    folder, extensions = Path(described["videos"]), described["extensions"]
    try:
        places = located(folder, extensions, list_videos(folder, extensions, video_ids))
    except UserError as error:
        return dict.fromkeys(video_ids, VideoFile(None, str(error)))
    manifest = results / "media" / "manifest.parquet"
    probed = {row["video_id"]: row for row in read_table(manifest).to_pylist()} if manifest.is_file() else {}
    return {
        video_id: VideoFile(
            None if place.path is None else folder / place.path,
            place.reason,
            probed.get(video_id, {}).get("codec") or "",
            probed.get(video_id, {}).get("duration_s"),
        )
        for video_id, place in places.items()
    }


def unusable_videos(results: Path) -> list[str]:
    """Return the videos of a dataset that cannot be used, each with the reason.

    Parameters
    ----------
    results : folder of the results of the dataset that has the videos
    """
    manifest = results / "media" / "manifest.parquet"
    rows = read_table(manifest, ["video_id", "status", "reason"]).to_pylist() if manifest.is_file() else []
    return [f"{row['video_id']}: {row['status']} ({row['reason']})" for row in rows if row["status"] != "ok"]


def address(file: Path, page: Path) -> str:
    """Return a file as a link of a page that lies on the same disk: relative, so that both can be moved together."""
    # As bytes: names on a disk need not be text.
    return quote(os.fsencode(os.path.relpath(file, page.parent)))


def transcript_of(results: Path, annotations: Path, settings: Mapping[str, Any]) -> tuple[str, pa.Table]:
    """Return whose words a system reads, or else whose are annotated, and the segments.

    Parameters
    ----------
    results : folder of the results of the dataset that has the videos
    annotations : folder of the canonical tables
    settings : content of the system's settings file
    """
    streams = settings["config"]["streams"].values()
    recipes = [results / "features" / name / "settings.json" for stream in streams for name in stream["names"]]
    features = [json.loads(path.read_text(encoding="utf-8")) for path in recipes if path.is_file()]
    named = [settings["config"]["transcript"], *((own.get("recipe") or {}).get("of") for own in features)]
    for name in filter(None, named):
        shards = sorted((results / "transcripts" / name).glob("[0-9]*.parquet"))
        if shards:
            return name, pa.concat_tables([read_table(shard) for shard in shards])
    return "the annotations", read_table(annotations / "transcripts.parquet")


def speech_lines(transcript: pa.Table, video_ids: Iterable[str]) -> tuple[dict[str, list[Line]], int]:
    """Return what is said in videos, and in how many of them it was left out because the page would be too long.

    Parameters
    ----------
    transcript : segments
    video_ids : the videos, those first that matter most
    """
    wanted = list(dict.fromkeys(video_ids))
    segments = transcript.filter(pc.is_in(transcript["video_id"], pa.array(wanted, pa.string()))).sort_by("start_s")
    lines: dict[str, list[Line]] = {}
    columns = (segments[name].to_pylist() for name in ("video_id", "start_s", "end_s", "text"))
    for video_id, start_s, end_s, text in zip(*columns, strict=True):
        lines.setdefault(video_id, []).append([round(start_s, 2), round(end_s, 2), text])
    kept: dict[str, list[Line]] = {}
    left = MAX_SPEECH_CHARACTERS
    for video_id in filter(lines.__contains__, wanted):
        left -= sum(len(text) for _, _, text in lines[video_id])
        if left < 0:
            break
        kept[video_id] = lines[video_id]
    return kept, len(lines) - len(kept)
