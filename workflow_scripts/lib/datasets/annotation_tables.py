"""Annotations in memory, as readers build them, and on disk, as everything else reads them."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.lib.datasets.errors import DuplicateQuery, DuplicateVideo
from workflow_scripts.lib.datasets.schema import SCHEMA_VERSION, TABLES, span_flags
from workflow_scripts.lib.store.tables import write_table

Row = dict[str, Any]
_GIVEN_TO_ADD_VIDEO = ("dataset", "video_id", "source_video_id", "duration_s", "split")
_GIVEN_TO_ADD_QUERY = ("dataset", "split", "query_id", "video_id", "source_query_id", "ordinal", "modality", "text")
"""Columns that `add_video` and `add_query` set themselves."""


@dataclass
class Annotations:
    """Rows of the canonical tables of one dataset.

    A reader fills them with the `add_` methods. A video's duration may stay None until `fill_durations`; the flags of
    spans are set by `add_flags`, once durations are known.
    """

    dataset: str
    videos: list[Row] = field(default_factory=list)
    queries: list[Row] = field(default_factory=list)
    moments: list[Row] = field(default_factory=list)
    saliency: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    captions: list[Row] = field(default_factory=list)
    transcripts: list[Row] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    """File and line of every video id and query id, for messages."""
    files: dict[str, str] = field(default_factory=dict)
    """Name of the file of those videos that the source calls by their files: another of the same stem is not meant."""
    _video_rows: dict[str, Row] = field(default_factory=dict, repr=False)
    _query_counts: dict[tuple[str, str], int] = field(default_factory=dict, repr=False)
    _window_counts: dict[str, int] = field(default_factory=dict, repr=False)
    _caption_counts: dict[str, int] = field(default_factory=dict, repr=False)

    def require_new_video(self, video_id: str, where: str) -> None:
        """Refuse a video that is there already, where the source has every video once.

        Raises
        ------
        DuplicateVideo
        """
        if video_id in self.origins:
            first = self.origins[video_id]
            raise DuplicateVideo(where, f"{video_id} again", f"every id once; the first is in {first}")

    def add_video(self, video_id: str, split: str, duration_s: float | None, where: str, **columns: Any) -> None:
        """Add a video, or another split of a video that is there already; one mention of its duration is enough.

        Raises
        ------
        DuplicateVideo
            If the video is there with another duration, or under another name in the source.
        """
        known = self._video_rows.get(video_id)
        described = {"source_video_id": columns.pop("source_video_id", video_id), "duration_s": duration_s}
        if known is None:
            row = {"dataset": self.dataset, "video_id": video_id, **described, "split": [split], **columns}
            self._video_rows[video_id] = row
            self.videos.append(row)
            self.origins[video_id] = where
            return
        for name, value in described.items():
            if known[name] is None:
                known[name] = value
            elif value not in (None, known[name]):
                raise DuplicateVideo(
                    where,
                    f"the video {video_id} with {name} {value!r}",
                    f"{known[name]!r} as in {self.origins[video_id]}",
                    "Describe the video in one way.",
                )
        if split not in known["split"]:
            known["split"].append(split)

    def add_query(
        self, video_id: str, split: str, text: str, where: str, *, source_id: str | None = None, **columns: Any
    ) -> str:
        """Add a text query and return its id: that of the source if it has one, else its place in its video.

        A column `query_id` overrides this rule.

        Raises
        ------
        DuplicateQuery
            If the id is there already.
        """
        ordinal = self._query_counts.get((split, video_id), 0)
        self._query_counts[split, video_id] = ordinal + 1
        own_id = f"{video_id}#{ordinal}" if source_id is None else source_id
        query_id = columns.pop("query_id", f"{self.dataset}/{split}/{own_id}")
        if query_id in self.origins:
            first = self.origins[query_id]
            raise DuplicateQuery(where, f"a second query {query_id!r}", f"every id once; the first is in {first}")
        self.origins[query_id] = where
        self.queries.append(
            {
                "dataset": self.dataset,
                "split": split,
                "query_id": query_id,
                "video_id": video_id,
                "source_query_id": source_id,
                "ordinal": ordinal,
                "modality": "text",
                "text": text,
                **columns,
            }
        )
        return query_id

    def add_caption(
        self, video_id: str, split: str, text: str, kind: str = "reference", source_id: str | None = None
    ) -> None:
        """Add a caption to a video, after those that it has."""
        index = self._caption_counts.get(video_id, 0)
        self._caption_counts[video_id] = index + 1
        self.captions.append(
            {
                "dataset": self.dataset,
                "split": split,
                "video_id": video_id,
                "caption_index": index,
                "text": text,
                "kind": kind,
                "source_id": source_id,
            }
        )

    def add_moment(
        self, video_id: str, split: str, query_id: str, start: float, end: float, *, fps: float | None = None
    ) -> None:
        """Add a window to a query, after those that it has: in seconds, or in frames where `fps` is given."""
        rate = 1.0 if fps is None else fps
        index = self._window_counts.get(query_id, 0)
        self._window_counts[query_id] = index + 1
        self.moments.append(
            {
                "dataset": self.dataset,
                "split": split,
                "query_id": query_id,
                "video_id": video_id,
                "window_index": index,
                "start_raw": start,
                "end_raw": end,
                "raw_unit": "second" if fps is None else "frame",
                "start_s": start / rate,
                "end_s": end / rate,
            }
        )

    def keep_splits(self, splits: Collection[str]) -> None:
        """Drop what belongs to other splits; a video stays if it is in one of these."""
        for row in self.videos:
            row["split"] = [split for split in row["split"] if split in splits]
        self.videos[:] = [row for row in self.videos if row["split"]]
        for name in ("queries", "moments", "saliency", "steps", "captions"):
            rows = getattr(self, name)
            rows[:] = [row for row in rows if row["split"] in splits]
        kept = {row["video_id"] for row in self.videos}
        self.transcripts[:] = [row for row in self.transcripts if row["video_id"] in kept]

    def join(self, others: "Annotations") -> None:
        """Add what another reader says of the same videos; the first description of a video stands.

        Raises
        ------
        DuplicateVideo, DuplicateQuery
            If both say different things of a video, or have a query of one id.
        """
        for row in others.videos:
            known = {"source_video_id": self._video_rows.get(row["video_id"], row)["source_video_id"]}
            for split in row["split"]:
                columns = {name: value for name, value in row.items() if name not in _GIVEN_TO_ADD_VIDEO} | known
                self.add_video(row["video_id"], split, row["duration_s"], others.origins[row["video_id"]], **columns)
        for row in others.queries:
            columns = {name: value for name, value in row.items() if name not in _GIVEN_TO_ADD_QUERY}
            place = (row["video_id"], row["split"], row["text"], others.origins[row["query_id"]])
            self.add_query(*place, source_id=row["source_query_id"], query_id=row["query_id"], **columns)
        for name in ("moments", "saliency", "steps", "captions", "transcripts"):
            getattr(self, name).extend(getattr(others, name))

    def durations(self) -> dict[str, float]:
        """Return the annotated duration of every video in seconds."""
        return {row["video_id"]: row["duration_s"] for row in self.videos}

    def where(self, row: Row) -> str:
        """Return where a row comes from, for a message."""
        known_as = row.get("query_id") or row.get("video_id") or "a row"
        origin = self.origins.get(row.get("query_id", ""), self.origins.get(row.get("video_id", "")))
        return f"{origin} ({known_as})" if origin else f"{self.dataset} ({known_as})"


def add_flags(annotations: Annotations) -> None:
    """Set the flags of all moments and steps from the numbers."""
    durations = annotations.durations()
    for row in (*annotations.moments, *annotations.steps):
        row["flags"] = span_flags(row["start_s"], row["end_s"], durations[row["video_id"]])


def write_annotations(folder: Path, annotations: Annotations, metadata: dict[str, Any]) -> None:
    """Write all canonical tables, empty ones included; each file appears complete or not at all.

    Parameters
    ----------
    folder : Path
        Receives `videos.parquet`, `queries.parquet`, ...
    annotations : Annotations
        Complete and validated.
    metadata : dict
        `importer` (name and version) and `source_sha256` (sha256 of every input file), kept in every file.
    """
    notes = {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in metadata.items()
    }
    for name, schema in TABLES.items():
        table = pa.Table.from_pylist(getattr(annotations, name), schema=schema)
        write_table(folder / f"{name}.parquet", table, {"schema_version": SCHEMA_VERSION, **notes})
