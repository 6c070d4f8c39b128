"""UniQ4Cap captions: a JSON list of videos, each with a caption that covers sound and one that does not.

Fields: `id`, `sound_mplug` (sound and vision; required), `mplug` (vision only). `duration` in seconds is understood
too; without it the duration comes from the video. Blank captions are left out and counted in the log. One object id ->
the other fields, in which such captions are also passed on, is read like the list.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSourceFile, BadValue
from workflow_scripts.lib.datasets.source_files import (
    extra_json,
    read_json,
    require,
    require_duration,
    require_object,
)

CAPTION_KINDS = {"sound_mplug": "sound", "mplug": "visual"}
FIELDS = ("id", "duration", *CAPTION_KINDS)

log = logging.getLogger(__name__)


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read UniQ4Cap caption files.

    Parameters
    ----------
    files : dict of str to Path
        `.json` file of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos and captions.
    """
    annotations = Annotations(dataset)
    unknown: Counter[str] = Counter()
    n_blank = 0
    for split, path in files.items():
        for where, entry in _entries(path):
            n_blank += _add_entry(annotations, split, where, entry)
            unknown.update(key for key in entry if key not in FIELDS)
    for name, count in unknown.items():
        log.warning("%s: field %r of %d entries is kept in extra_json, not used", dataset, name, count)
    if n_blank:
        log.warning("%s: %d blank captions are left out", dataset, n_blank)
    return annotations


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries of either form, each with its `id`."""
    content = read_json(path)
    if isinstance(content, list):
        for position, entry in enumerate(content):
            where = f"{path}[{position}]"
            yield where, require_object(entry, where)
    elif isinstance(content, dict):
        for video_id, entry in content.items():
            where = f"{path}:{video_id}"
            stated = require_object(entry, where).get("id", video_id)
            if stated != video_id:
                raise BadValue(f"{where}:id", repr(stated), f"{video_id!r}, the key of the entry")
            yield where, {"id": video_id, **entry}
    else:
        raise BadSourceFile(str(path), f"a JSON {type(content).__name__}", "a list [{...}, ...] or {id: {...}, ...}")


def _add_entry(annotations: Annotations, split: str, where: str, entry: dict[str, Any]) -> int:
    """Add a video with its captions; return how many are blank, and left out."""
    video_id = require(entry, "id", str, where)
    annotations.require_new_video(video_id, where)
    duration_s = require_duration(entry, "duration", where) if "duration" in entry else None
    annotations.add_video(video_id, split, duration_s, where, extra_json=extra_json(entry, FIELDS))
    require(entry, "sound_mplug", str, where)
    given = {kind: require(entry, name, str, where) for name, kind in CAPTION_KINDS.items() if name in entry}
    told = {kind: text for kind, text in given.items() if text.strip()}
    for kind, text in told.items():
        annotations.add_caption(video_id, split, text, kind)
    return len(given) - len(told)
