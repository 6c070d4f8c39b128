"""MSR-VTT: clips of YouTube videos with twenty captions each (`*_videodatainfo.json`).

One JSON object: `videos`, a list of `video_id`, `url`, `start time`, `end time`, `split`, ..., and `sentences`, a list
of `video_id`, `caption`, `sen_id`. A video's own split counts (`validate` is `val` here); without one it is the file's.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import UnknownVideo
from workflow_scripts.lib.datasets.source_files import extra_json, read_json, require, require_object

SPLITS = {"validate": "val"}
FIELDS = ("video_id", "start time", "end time", "split")
_YOUTUBE_ID = re.compile(r"(?:[?&]v=|youtu\.be/)([A-Za-z0-9_-]{11})(?![A-Za-z0-9_-])")


def splits_of(names: Iterable[str]) -> list[str]:
    """Return the splits; that of the validation videos has no file of its own."""
    return [*names, "val"]


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read MSR-VTT files.

    Parameters
    ----------
    files : dict of str to Path
        `.json` files; the split of a file counts for videos that state none.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos and captions; no queries.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        content = require_object(read_json(path), str(path))
        split_of_video: dict[str, str] = {}
        for where, video in _objects(content, "videos", path):
            _add_video(annotations, split, video, where, split_of_video)
        for where, sentence in _objects(content, "sentences", path):
            _add_caption(annotations, sentence, where, split_of_video)
    return annotations


def _objects(content: dict[str, Any], key: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    entries = require(content, key, list, str(path))
    places = [f"{path}:{key}[{position}]" for position in range(len(entries))]
    return [(where, require_object(entry, where)) for where, entry in zip(places, entries, strict=True)]


def _add_video(
    annotations: Annotations, file_split: str, video: dict[str, Any], where: str, split_of_video: dict[str, str]
) -> None:
    video_id = require(video, "video_id", str, where)
    annotations.require_new_video(video_id, where)
    named = require(video, "split", str, where) if "split" in video else file_split
    split = split_of_video[video_id] = SPLITS.get(named, named)
    columns: dict[str, Any] = {"extra_json": extra_json(video, FIELDS)}
    duration_s = None
    if "start time" in video and "end time" in video:
        start, end = (float(require(video, key, (int, float), where)) for key in ("start time", "end time"))
        duration_s = end - start
        columns |= {"clip_start_s": start, "clip_end_s": end}
    address = _YOUTUBE_ID.search(require(video, "url", str, where)) if "url" in video else None
    if address:
        columns["youtube_id"] = address[1]
    annotations.add_video(video_id, split, duration_s, where, **columns)


def _add_caption(
    annotations: Annotations, sentence: dict[str, Any], where: str, split_of_video: dict[str, str]
) -> None:
    video_id = require(sentence, "video_id", str, where)
    if video_id not in split_of_video:
        raise UnknownVideo(where, f"a caption of {video_id}", "a video of the same file")
    source_id = str(require(sentence, "sen_id", (int, str), where))
    text = require(sentence, "caption", str, where)
    annotations.add_caption(video_id, split_of_video[video_id], text, source_id=source_id)
