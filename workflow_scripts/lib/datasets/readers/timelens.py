"""TimeLens-Bench: one JSON object, name of the video -> `duration`, `queries` and, a pair of seconds for each, `spans`.

Videos are called as in the dataset whose annotations were revised: Charades, ActivityNet Captions (`v_` and YouTube id)
or QVHighlights. A query is known by its video and its place in it.
"""

from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadValue
from workflow_scripts.lib.datasets.source_files import (
    extra_json,
    read_json,
    require,
    require_duration,
    require_object,
    require_span,
)
from workflow_scripts.lib.datasets.video_names import any_video

FIELDS = ("duration", "queries", "spans")


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read files of TimeLens-Bench.

    Parameters
    ----------
    files : dict of str to Path
        File of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries and moments.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        for name, entry in require_object(read_json(path), str(path)).items():
            _add_video(annotations, split, name, entry, f"{path}:{name}")
    return annotations


def _add_video(annotations: Annotations, split: str, name: str, entry: object, where: str) -> None:
    found = require_object(entry, where)
    columns = any_video(name, where)
    video_id = columns.pop("video_id")
    duration_s = require_duration(found, "duration", where)
    annotations.add_video(video_id, split, duration_s, where, **columns, extra_json=extra_json(found, FIELDS))
    queries, spans = (require(found, key, list, where) for key in ("queries", "spans"))
    if len(queries) != len(spans):
        raise BadValue(f"{where}:spans", f"{len(spans)} spans", f"{len(queries)}, one for every query")
    for index, (query, span) in enumerate(zip(queries, spans, strict=True)):
        if not isinstance(query, str):
            raise BadValue(f"{where}:queries[{index}]", repr(query), "a text")
        start_s, end_s = require_span(span, f"{where}:spans[{index}]")
        query_id = annotations.add_query(video_id, split, query, where)
        annotations.add_moment(video_id, split, query_id, start_s, end_s)
