"""Read the queries of a split with the features that a system wants."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.systems.interface import FeatureRows, Item
from workflow_scripts.datasets.durations import duration_differences
from workflow_scripts.datasets.left_out import left_out_queries
from workflow_scripts.datasets.schema import moments_view, videos_view
from workflow_scripts.errors import UserError
from workflow_scripts.store.digest import digest_json
from workflow_scripts.store.features import FeatureStore
from workflow_scripts.store.tables import read_table


@dataclass
class Split:
    """The usable queries of one split.

    Attributes
    ----------
    skipped : reason -> number of queries left out (bad video, failed feature)
    keys : what decides the content of the items: ids, texts, moments and the key of every feature row
    """

    items: list[Item] = field(default_factory=list)
    skipped: Counter = field(default_factory=Counter)
    keys: list[Any] = field(default_factory=list)

    def usable(self, reason_of: Callable[[Item], str | None]) -> "Split":
        """Return the split without the items for which `reason_of` gives a reason, which is counted."""
        kept, skipped = [], Counter(self.skipped)
        for item in self.items:
            reason = reason_of(item)
            if reason is None:
                kept.append(item)
            else:
                skipped[reason] += 1
        return Split(kept, skipped, self.keys)

    @property
    def digest(self) -> str:
        """Return the digest of everything the items hold."""
        return digest_json(self.keys)


class Reader:
    """Reads items of one dataset for one system.

    Parameters
    ----------
    results : folder of the dataset's results
    config : the system's resolved settings (streams, queries, ...)
    recipes : feature -> digest of the recipe its rows must have
    annotated : folder of the results of the dataset whose annotations, and rows of queries, are used; None: the same
    """

    def __init__(
        self, results: Path, config: Mapping[str, Any], recipes: Mapping[str, str], annotated: Path | None = None
    ) -> None:
        annotated = annotated or results
        self.tables = annotated / "annotations"
        self.config = config
        self.stores = {
            name: FeatureStore((annotated if stream == "text" else results) / "features" / name).preload()
            for stream, content in config["streams"].items()
            for name in content["names"]
        }
        for name, store in self.stores.items():
            if recipes[name] != digest_json(store.recipe):
                raise UserError(
                    f"{store.root}: rows of another recipe than the one asked for. Start the workflow again"
                )
        self._rows: dict[tuple[str, str], FeatureRows] = {}
        videos = read_table(self.tables / "videos.parquet")
        viewed = videos_view(videos, config["queries"]["moments"])
        self._durations = {row["video_id"]: row["duration_s"] for row in viewed.to_pylist()}
        manifest = read_table(results / "media" / "manifest.parquet", ["video_id", "status", "duration_s"]).to_pylist()
        self._media = {row["video_id"]: row["status"] for row in manifest}
        annotated_s = dict(zip(videos["video_id"].to_pylist(), videos["duration_s"].to_pylist(), strict=True))
        duration_differences(annotated_s, {row["video_id"]: row["duration_s"] for row in manifest})
        queries = read_table(self.tables / "queries.parquet")
        self._queries = queries.to_pylist()
        self._left_out = partial(left_out_queries, queries)
        moments = read_table(self.tables / "moments.parquet")
        self._moments = _moments_by_query(moments_view(moments, videos, config["queries"]["moments"]))

    def stream_dims(self) -> dict[str, list[int]]:
        """Return the width of every feature of every stream."""
        streams = self.config["streams"].items()
        return {stream: [self.stores[name].dim for name in content["names"]] for stream, content in streams}

    def read(self, split: str) -> Split:
        """Return the items of a split in the order of the annotations.

        Raises
        ------
        UserError
            the annotations have no such split
        """
        kinds = self.config["queries"]["kinds"]
        rows = [row for row in self._queries if row["split"] == split]
        found = Split(skipped=self._left_out(split, kinds))
        if not (rows or found.skipped):
            known = sorted({row["split"] for row in self._queries})
            raise UserError(f"{self.tables}: no queries in split {split!r}; splits there: {known}")
        for row in rows:
            extra = json.loads(row["extra_json"] or "{}")
            if kinds is not None and extra.get("kind") not in kinds:
                continue
            reason = self._unusable(row)
            if reason:
                found.skipped[reason] += 1
                continue
            found.items.append(self._item(row, extra))
            found.keys.append(self._key(row))
        return found

    def _owner(self, stream: str, row: Mapping[str, Any]) -> str:
        return row["query_id"] if stream == "text" else row["video_id"]

    def _unusable(self, row: Mapping[str, Any]) -> str | None:
        status = self._media.get(row["video_id"], "missing")
        if status != "ok":
            return f"video {status}"
        for stream, content in self.config["streams"].items():
            for name in content["names"]:
                if self._feature(name, self._owner(stream, row)).status == "failed":
                    return f"{name} failed"
        return None

    def _feature(self, name: str, owner: str) -> FeatureRows:
        if (name, owner) not in self._rows:
            rows = self.stores[name][owner]
            self._rows[name, owner] = FeatureRows(rows.values.astype(np.float32), rows.times, rows.status)
        return self._rows[name, owner]

    def _item(self, row: Mapping[str, Any], extra: dict[str, Any]) -> Item:
        streams = {
            stream: [self._feature(name, self._owner(stream, row)) for name in content["names"]]
            for stream, content in self.config["streams"].items()
        }
        moments = self._moments.get(row["query_id"], np.zeros((0, 2)))
        duration = self._durations[row["video_id"]]
        return Item(row["query_id"], row["video_id"], row["text"] or "", duration, moments, streams, extra)

    def _key(self, row: Mapping[str, Any]) -> list[Any]:
        keys = [
            self.stores[name].key_of(self._owner(stream, row))
            for stream, content in self.config["streams"].items()
            for name in content["names"]
        ]
        moments = self._moments.get(row["query_id"], np.zeros((0, 2)))
        return [row["query_id"], row["text"], self._durations[row["video_id"]], moments.tolist(), keys]


def _moments_by_query(moments: Any) -> dict[str, np.ndarray]:
    spans: dict[str, list[tuple[int, float, float]]] = {}
    for row in moments.to_pylist():
        spans.setdefault(row["query_id"], []).append((row["window_index"], row["start_s"], row["end_s"]))
    return {query: np.array([s[1:] for s in sorted(found)], dtype=np.float64) for query, found in spans.items()}


def units(system: Any, items: Sequence[Item]) -> list[Any]:
    """Return what the system's `sample` takes in turn: the items, or lists of all items of a video."""
    if not system.joins_queries:
        return list(items)
    by_video: dict[str, list[Item]] = {}
    for item in items:
        by_video.setdefault(item.video_id, []).append(item)
    return list(by_video.values())


def prepared(unit: Any, prepare: Callable[[Item], Item]) -> Any:
    """Apply a function to the item, or to every item of the list."""
    return prepare(unit) if isinstance(unit, Item) else [prepare(item) for item in unit]


@dataclass(frozen=True)
class Standardiser:
    """Per-dimension shift and scale of the streams that ask for it, fitted on training items.

    Attributes
    ----------
    moments : stream -> per feature (mean, scale), float32 (D,) each; a dimension that never varies gets scale 0
    """

    moments: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]]

    @classmethod
    def fit(cls, items: Sequence[Item], streams: Sequence[str]) -> "Standardiser":
        """Fit on every distinct video (or query) of the items once."""
        fitted = {}
        for stream in streams:
            width = len(items[0].streams[stream])
            fitted[stream] = [
                _mean_and_scale({id(i.streams[stream][f]): i.streams[stream][f] for i in items}) for f in range(width)
            ]
        return cls(fitted)

    def apply(self, item: Item, zeroed: str | None = None) -> Item:
        """Return the item standardised; the stream `zeroed` is set to zero (an ablation)."""
        streams = dict(item.streams)
        for stream, moments in self.moments.items():
            streams[stream] = [
                replace(rows, values=np.clip((rows.values - mean) * scale, -LIMIT_STD, LIMIT_STD))
                for rows, (mean, scale) in zip(streams[stream], moments, strict=True)
            ]
        if zeroed is not None:
            streams[zeroed] = [replace(rows, values=np.zeros_like(rows.values)) for rows in streams[zeroed]]
        return replace(item, streams=streams)


LIMIT_STD = 5.0
"""Standardised values are cut here: a dimension that is nearly always 0 would otherwise speak 50 times too loud."""
DEAD_STD = 1e-4
"""A dimension whose standard deviation is below this share of the largest one is rounding noise of the store."""


def _mean_and_scale(rows: Mapping[int, FeatureRows]) -> tuple[np.ndarray, np.ndarray]:
    values = np.concatenate([r.values for r in rows.values()]).astype(np.float64)
    if not len(values):
        # No training video has sound, for example.
        return np.zeros(values.shape[1], np.float32), np.zeros(values.shape[1], np.float32)
    std = values.std(axis=0)
    alive = std > DEAD_STD * std.max(initial=0.0)
    scale = np.where(alive, 1 / np.where(alive, std, 1), 0)
    return values.mean(axis=0).astype(np.float32), scale.astype(np.float32)
