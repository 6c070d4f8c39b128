"""VATEX: clips of YouTube videos with ten English captions each (`vatex_*.json`).

A JSON list of `videoID` (`<YouTube id>_<first second>_<last second>`), `enCap`, a list of captions, and `chCap`, those
in Chinese, which are kept among the extra fields. The private test split has no captions.
"""

from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSourceFile, BadValue
from workflow_scripts.lib.datasets.source_files import extra_json, read_json, require, require_object
from workflow_scripts.lib.datasets.youtube_clips import clip_columns

FIELDS = ("videoID", "enCap")


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read VATEX files.

    Parameters
    ----------
    files : dict of str to Path
        `.json` file of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos and captions; no queries.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        content = read_json(path)
        if not isinstance(content, list):
            raise BadSourceFile(str(path), f"a JSON {type(content).__name__}", "a list [{...}, ...]")
        for position, entry in enumerate(content):
            where = f"{path}[{position}]"
            _add_entry(annotations, split, where, require_object(entry, where))
    return annotations


def _add_entry(annotations: Annotations, split: str, where: str, entry: dict) -> None:
    video_id = require(entry, "videoID", str, where)
    annotations.require_new_video(video_id, where)
    columns = clip_columns(video_id, f"{where}:videoID") | {"extra_json": extra_json(entry, FIELDS)}
    annotations.add_video(video_id, split, columns.pop("duration_s"), where, **columns)
    for index, text in enumerate(require(entry, "enCap", list, where) if "enCap" in entry else ()):
        if not isinstance(text, str):
            raise BadValue(f"{where}:enCap[{index}]", repr(text), "a text")
        annotations.add_caption(video_id, split, text)
