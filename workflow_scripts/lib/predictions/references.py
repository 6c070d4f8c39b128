"""Read the annotated moments that predictions are scored against."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.schema import moments_view, videos_view, without_empty
from workflow_scripts.lib.store.tables import read_table


def annotations_folder(settings_path: Path, settings: Mapping[str, Any]) -> Path:
    """Return the folder of the tables that a system uses: mostly, not always, those of the dataset it is run on.

    Parameters
    ----------
    settings_path : `results/<dataset>/<system>/settings.json`
    settings : its content
    """
    return settings_path.parent.parent.parent / settings["annotations"] / "annotations"


@dataclass(frozen=True)
class Reference:
    """A query and its annotated moments in seconds, all and the first; `span` is None where none is annotated."""

    query_id: str
    video_id: str
    text: str
    duration_s: float
    span: tuple[float, float] | None
    extra: Mapping[str, Any]
    spans: Sequence[tuple[float, float]] = ()


def read_references(annotations: Path, split: str, queries: Mapping[str, Any]) -> list[Reference]:
    """Return the queries of a split.

    Parameters
    ----------
    annotations : folder of the canonical tables
    queries : the system's section `queries` (kinds, view of the moments)
    """
    videos = read_table(annotations / "videos.parquet")
    viewed = videos_view(videos, queries["moments"])
    durations = {row["video_id"]: row["duration_s"] for row in viewed.to_pylist()}
    inside, _ = without_empty(read_table(annotations / "moments.parquet"), videos)
    moments = moments_view(inside, videos, queries["moments"]).sort_by("window_index")
    annotated: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in moments.to_pylist():
        annotated[row["query_id"]].append((row["start_s"], row["end_s"]))
    references = []
    for row in read_table(annotations / "queries.parquet").to_pylist():
        extra = json.loads(row["extra_json"] or "{}")
        if row["split"] == split and (queries["kinds"] is None or extra.get("kind") in queries["kinds"]):
            spans, duration = annotated.get(row["query_id"], []), durations[row["video_id"]]
            text, span = row["text"] or "", spans[0] if spans else None
            references.append(Reference(row["query_id"], row["video_id"], text, duration, span, extra, spans))
    return references
