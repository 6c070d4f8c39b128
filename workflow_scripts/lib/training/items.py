"""Read the queries of a split with the features that a system wants."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.systems.interface import FeatureRows, Item
from workflow_scripts.lib.datasets.durations import duration_differences
from workflow_scripts.lib.datasets.left_out import left_out_queries
from workflow_scripts.lib.datasets.schema import moments_view, videos_view
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.tables import read_table


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

    def hold_out(self, share: float) -> tuple["Split", "Split"]:
        """Return the split without a share of its videos, and these; a hash of their ids decides which.

        The queries that were left out before are counted in the first.
        """
        is_held = [_hash_share(item.video_id) < share for item in self.items]
        parts = [
            [[value for value, held in zip(values, is_held, strict=True) if held == wanted] for wanted in (False, True)]
            for values in (self.items, self.keys)
        ]
        (kept, held), (kept_keys, held_keys) = parts
        return Split(kept, self.skipped, kept_keys), Split(held, keys=held_keys)

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
    prior : folder of the answers of the system before this one, a folder per split; None: there is none
    """

    def __init__(
        self,
        results: Path,
        config: Mapping[str, Any],
        recipes: Mapping[str, str],
        annotated: Path | None = None,
        prior: Path | None = None,
    ) -> None:
        annotated = annotated or results
        self.tables = annotated / "annotations"
        self.config, self.prior = config, prior
        self.stores = {
            name: FeatureStore((annotated if stream == "text" else results) / "features" / name)
            for stream, content in config["streams"].items()
            for name in content["names"]
        }
        self._kept = {
            name for content in config["streams"].values() if content["in_memory"] for name in content["names"]
        }
        for name in self._kept:
            self.stores[name].preload()
        for name, store in self.stores.items():
            if recipes[name] != digest_json(store.recipe):
                raise UserError(
                    f"{store.root}: rows of another recipe than the one asked for. Start the workflow again"
                )
        self._rows: dict[tuple[str, str], FeatureRows | RowsInStore] = {}
        self._transcripts = (
            Transcripts(results / "transcripts" / config["transcript"]) if config["transcript"] else None
        )
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
        kinds, answers = self.config["queries"]["kinds"], self._prior_answers(split)
        about = {"is_training": split == self.config["splits"]["train"]}
        rows = [row for row in self._queries if row["split"] == split]
        found = Split(skipped=self._left_out(split, kinds))
        if not (rows or found.skipped):
            known = sorted({row["split"] for row in self._queries})
            raise UserError(f"{self.tables}: no queries in split {split!r}; splits there: {known}")
        for row in rows:
            extra = json.loads(row["extra_json"] or "{}")
            if kinds is not None and extra.get("kind") not in kinds:
                continue
            told = self._told(row, extra, answers)
            reason = self._unusable(row, told)
            if reason:
                found.skipped[reason] += 1
                continue
            found.items.append(self._item(row, extra | told | about, self._streams(row)))
            found.keys.append(self._key(row, told))
        return found

    def _prior_answers(self, split: str) -> dict[str, list[list[float]]] | None:
        """Return the spans that the prior answered, best first, by query; None if it is not asked."""
        return None if self.prior is None else spans_by_query(self.prior / split / "predictions.parquet")

    def _told(
        self, row: Mapping[str, Any], extra: Mapping[str, Any], answers: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return what is known of a query besides text and features."""
        told: dict[str, Any] = {}
        if row["items"] is not None:
            told["items"] = row["items"]
        if self._transcripts is not None:
            told["transcript"] = self._transcripts.of(row["video_id"])
        if self.config["prior"] is not None:
            told["prior_spans"] = answers.get(row["query_id"]) if answers is not None else extra.get("stage1_result")
        return told

    def queries_of_roles(self, roles: Sequence[str]) -> list[Item]:
        """Return the queries of the splits that play these roles (`train`, `test`), without rows of features.

        As `read`, in the order of the annotations; a video that is not `ok` is left out, a failed feature is not.
        """
        splits = self.config["splits"]
        names = [name for role in roles for name in ([splits[role]] if role == "train" else splits[role])]
        by_split = {name: [row for row in self._queries if row["split"] == name] for name in names}
        kinds = self.config["queries"]["kinds"]
        return [
            self._item(row, extra, {})
            for rows in by_split.values()
            for row in rows
            for extra in [json.loads(row["extra_json"] or "{}")]
            if (kinds is None or extra.get("kind") in kinds) and self._media.get(row["video_id"]) == "ok"
        ]

    def _owner(self, stream: str, row: Mapping[str, Any]) -> str:
        return row["query_id"] if stream == "text" else row["video_id"]

    def _unusable(self, row: Mapping[str, Any], told: Mapping[str, Any]) -> str | None:
        status = self._media.get(row["video_id"], "missing")
        if status != "ok":
            return f"video {status}"
        if "transcript" in told and told["transcript"] is None:
            return f"{self.config['transcript']} failed"
        if "prior_spans" in told and told["prior_spans"] is None:
            return f"no answer of {self.config['prior']['system']}"
        for stream, content in self.config["streams"].items():
            for name in content["names"]:
                if self._feature(name, self._owner(stream, row)).status == "failed":
                    return f"{name} failed"
        return None

    def _feature(self, name: str, owner: str) -> "FeatureRows | RowsInStore":
        if (name, owner) not in self._rows:
            self._rows[name, owner] = self._read_feature(name, owner)
        return self._rows[name, owner]

    def _read_feature(self, name: str, owner: str) -> "FeatureRows | RowsInStore":
        store = self.stores[name]
        if name not in self._kept:
            return RowsInStore(store, owner, store.status_of(owner))
        rows = store[owner]
        return FeatureRows(rows.values.astype(np.float32), rows.times, rows.status)

    def _streams(self, row: Mapping[str, Any]) -> dict[str, list[FeatureRows]]:
        return {
            stream: [self._feature(name, self._owner(stream, row)) for name in content["names"]]
            for stream, content in self.config["streams"].items()
        }

    def _item(self, row: Mapping[str, Any], extra: dict[str, Any], streams: dict[str, list[FeatureRows]]) -> Item:
        moments = self._moments.get(row["query_id"], np.zeros((0, 2)))
        duration = self._durations[row["video_id"]]
        return Item(row["query_id"], row["video_id"], row["text"] or "", duration, moments, streams, extra)

    def _key(self, row: Mapping[str, Any], told: Mapping[str, Any]) -> list[Any]:
        keys = [
            self.stores[name].key_of(self._owner(stream, row))
            for stream, content in self.config["streams"].items()
            for name in content["names"]
        ]
        moments = self._moments.get(row["query_id"], np.zeros((0, 2)))
        return [
            row["query_id"],
            row["text"],
            self._durations[row["video_id"]],
            moments.tolist(),
            keys,
            *([told] if told else []),
        ]


@dataclass(frozen=True)
class RowsInStore:
    """`FeatureRows` that are read whenever they are asked for, and not kept."""

    store: FeatureStore
    owner: str
    status: str

    @property
    def values(self) -> np.ndarray:
        """Read the values, float32 (T, D)."""
        return self.store[self.owner].values

    @property
    def times(self) -> np.ndarray:
        """Read start and end second of every row, float32 (T, 2)."""
        return self.store[self.owner].times


class Transcripts:
    """The transcripts that a speech feature made of a dataset's videos.

    Parameters
    ----------
    folder : `results/<dataset>/transcripts/<feature>`
    """

    def __init__(self, folder: Path) -> None:
        index = read_table(folder / "index.parquet", ["video_id", "shard", "status"]).to_pylist()
        self._said: dict[str, list[tuple[float, float, str]]] = {
            row["video_id"]: [] for row in index if row["status"] != "failed"
        }
        for shard in sorted({row["shard"] for row in index}):
            segments = read_table(folder / f"{shard}.parquet", ["video_id", "start_s", "end_s", "text"])
            for row in segments.to_pylist():
                self._said[row["video_id"]].append((row["start_s"], row["end_s"], row["text"]))

    def of(self, video_id: str) -> list[tuple[float, float, str]] | None:
        """Return start, end (seconds) and text of what is said in a video; None if it could not be listened to."""
        return self._said.get(video_id)


def spans_by_query(predictions: Path) -> dict[str, list[list[float]]]:
    """Return the predicted [start, end] (seconds) of every query, best first; answers that say nothing are left out."""
    rows = read_table(predictions, ["query_id", "rank", "start_s", "end_s"]).to_pylist()
    found: dict[str, list[list[float]]] = {row["query_id"]: [] for row in rows}
    for row in sorted(rows, key=lambda row: row["rank"]):
        if row["start_s"] is not None:
            found[row["query_id"]].append([row["start_s"], row["end_s"]])
    return found


def _hash_share(video_id: str) -> float:
    """Return a number from 0 to 1, always the same for an id."""
    return int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:8]) / 2**64


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
            streams[zeroed] = [
                FeatureRows(np.zeros_like(rows.values), rows.times, rows.status) for rows in streams[zeroed]
            ]
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
