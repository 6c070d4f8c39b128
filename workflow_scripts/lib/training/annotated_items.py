"""What the canonical tables say about queries and videos, as a system takes it."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.systems.interface import Annotated, AnnotatedStep
from workflow_scripts.lib.datasets.schema import caption_kind, moments_view, without_empty
from workflow_scripts.lib.store.tables import read_table

Bounds = tuple[float, float]


class AnnotatedItems:
    """The annotations of one dataset, as far as a system's tasks need them.

    Parameters
    ----------
    tables : folder of the canonical tables
    view : of the annotated moments
    tasks, captions_of : what the system answers
    """

    def __init__(self, tables: Path, view: str, tasks: Collection[str], captions_of: Collection[str]) -> None:
        videos, moments = (read_table(tables / f"{name}.parquet") for name in ("videos", "moments"))
        moments, self._empty = without_empty(moments, videos)
        self._moments = _sorted_by_query(moments_view(moments, videos, view).to_pylist(), "window_index")
        self._gives = "steps" in tasks or "steps" in captions_of
        steps = read_table(tables / "steps.parquet").to_pylist() if self._gives else []
        self._steps = {
            query: tuple(AnnotatedStep(row["start_s"], row["end_s"], row["text"]) for row in rows)
            for query, rows in _sorted_by_query(steps, "step_index").items()
        }
        saliency = read_table(tables / "saliency.parquet").to_pylist() if "highlights" in tasks else []
        self._saliency = {query: _ratings(rows) for query, rows in _sorted_by_query(saliency, "clip_index").items()}
        self._captions = _captions(tables) if "videos" in captions_of else {}

    def of(self, query_id: str | None, video_id: str) -> Annotated:
        """Return what is annotated about a query, or (`query_id` is None) about a video."""
        if query_id is None:
            return Annotated(captions=self._captions.get(video_id, ()))
        bounds = [[row["start_s"], row["end_s"]] for row in self._moments.get(query_id, ())]
        return Annotated(
            moments=np.array(bounds, dtype=np.float64).reshape(-1, 2),
            saliency=self._saliency.get(query_id, Annotated().saliency),
            steps=self._steps.get(query_id, ()),
        )

    def why_empty(self, query_id: str | None) -> str | None:
        """Return why nothing of a query's moments lies inside its video, None if something does or none is told."""
        return self._empty.get(query_id or "")

    def given(self, query_id: str | None) -> tuple[Bounds | None, tuple[Bounds, ...]]:
        """Return the annotated moment that is to be cut into steps, and the steps that are to be described."""
        if not self._gives:
            return None, ()
        moments = self._moments.get(query_id, ())
        moment = (moments[0]["start_s"], moments[0]["end_s"]) if moments else None
        return moment, tuple((step.start_s, step.end_s) for step in self._steps.get(query_id, ()))


def _sorted_by_query(rows: Iterable[Mapping[str, Any]], by: str) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["query_id"], []).append(row)
    return {query: sorted(own, key=lambda row: row[by]) for query, own in found.items()}


def _ratings(rows: list[Mapping[str, Any]]) -> np.ndarray:
    """Return int64 (clips, raters); clips that nobody rated have 0 points."""
    points = np.zeros((rows[-1]["clip_index"] + 1, len(rows[0]["scores"])), dtype=np.int64)
    for row in rows:
        points[row["clip_index"]] = row["scores"]
    return points


def _captions(tables: Path) -> dict[str, tuple[str, ...]]:
    rows = read_table(tables / "captions.parquet").to_pylist()
    kinds = {
        split: caption_kind(row["kind"] for row in rows if row["split"] == split)
        for split in {r["split"] for r in rows}
    }
    found: dict[str, tuple[str, ...]] = {}
    for row in sorted(rows, key=lambda row: row["caption_index"]):
        if row["kind"] == kinds[row["split"]]:
            found[row["video_id"]] = (*found.get(row["video_id"], ()), row["text"])
    return found
