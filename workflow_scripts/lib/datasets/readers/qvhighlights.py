"""QVHighlights: JSON lines with a query, its windows, and saliency scores of 2 s clips.

Fields: `qid`, `query`, `duration`, `vid`; `relevant_windows`, `relevant_clip_ids`, `saliency_scores` where the split is
labelled. Windows are kept as they are, on or off the 2 s grid of the original files.
"""

import re
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSaliency
from workflow_scripts.lib.datasets.source_files import (
    extra_json,
    read_json_lines,
    require,
    require_duration,
    require_span,
)

CLIP_LENGTH_S = 2.0
FIELDS = ("qid", "query", "duration", "vid", "relevant_windows", "relevant_clip_ids", "saliency_scores")
# A YouTube id may hold underscores itself; the two times follow the last two.
_YOUTUBE_VIDEO = re.compile(r"(?P<youtube_id>.{11})_(?P<start>\d+\.\d+)_(?P<end>\d+\.\d+)")


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read QVHighlights files.

    Parameters
    ----------
    files : dict of str to Path
        `.jsonl` file of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries, moments and saliency.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        for where, record in read_json_lines(path):
            _add_record(annotations, split, where, record)
    return annotations


def _add_record(annotations: Annotations, split: str, where: str, record: dict[str, Any]) -> None:
    video_id = require(record, "vid", str, where)
    duration_s = require_duration(record, "duration", where)
    annotations.add_video(video_id, split, duration_s, where, **_youtube_columns(video_id))
    query_id = annotations.add_query(
        video_id,
        split,
        require(record, "query", str, where),
        where,
        source_id=str(require(record, "qid", (int, str), where)),
        extra_json=extra_json(record, FIELDS),
    )
    if "relevant_windows" in record:
        for index, window in enumerate(require(record, "relevant_windows", list, where)):
            start_s, end_s = require_span(window, f"{where}:relevant_windows[{index}]")
            annotations.add_moment(video_id, split, query_id, start_s, end_s)
    if "saliency_scores" in record:
        _add_saliency(annotations, split, query_id, where, record)


def _add_saliency(annotations: Annotations, split: str, query_id: str, where: str, record: dict[str, Any]) -> None:
    clips = require(record, "relevant_clip_ids", list, where)
    scores = require(record, "saliency_scores", list, where)
    if len(clips) != len(scores):
        raise BadSaliency(
            f"{where}:saliency_scores", f"{len(scores)} triples", f"{len(clips)}, one for every relevant_clip_id"
        )
    for clip, triple in zip(clips, scores, strict=True):
        annotations.saliency.append(
            {
                "dataset": annotations.dataset,
                "split": split,
                "query_id": query_id,
                "clip_index": clip,
                "clip_length_s": CLIP_LENGTH_S,
                "scores": triple,
            }
        )


def _youtube_columns(video_id: str) -> dict[str, Any]:
    match = _YOUTUBE_VIDEO.fullmatch(video_id)
    if match is None:
        return {}
    return {
        "youtube_id": match["youtube_id"],
        "clip_start_s": float(match["start"]),
        "clip_end_s": float(match["end"]),
    }
