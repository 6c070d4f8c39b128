"""Read the items of a split, queries or videos, with the features that a system wants."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.systems.interface import Item, Rows, Told, captions_of, tasks_of
from workflow_scripts.lib.datasets.durations import duration_differences
from workflow_scripts.lib.datasets.left_out import left_out_queries
from workflow_scripts.lib.datasets.schema import videos_view
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.predictions.answer_tables import read_answers
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.settings_files import window_seconds
from workflow_scripts.lib.store.tables import read_table
from workflow_scripts.lib.training.annotated_items import AnnotatedItems
from workflow_scripts.lib.training.checkpoint import system_config
from workflow_scripts.lib.training.rows import RowsInStore
from workflow_scripts.lib.training.transcripts import Transcripts


@dataclass
class Split:
    """The usable items of one split.

    Attributes
    ----------
    skipped : reason -> number of items left out (bad video, failed feature)
    keys : what decides the content of the items: ids, texts, annotations and the key of every feature row
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

        The items that were left out before are counted in the first.
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
    results : folder of the results of the dataset whose videos' features are read
    config : the system's resolved settings (streams, queries, ...)
    recipes : feature -> digest of the recipe its rows must have
    annotated : folder of the results of the dataset whose annotations, and rows of queries, are used; None: the same
    prior : folder of the answers of the system before this one, a folder per split; None: there is none
    tasks : what the system answers
    captions_of : what its captions describe, `videos` or `steps`
    reads_media : whether anything it reads is made from the videos; if not, the videos need not be there
    window_s : length of the windows of videos that captions describe; None: they describe whole videos
    """

    def __init__(
        self,
        results: Path,
        config: Mapping[str, Any],
        recipes: Mapping[str, str],
        annotated: Path | None = None,
        prior: Path | None = None,
        tasks: Sequence[str] = ("moments",),
        captions_of: Sequence[str] = (),
        reads_media: bool = True,
        window_s: float | None = None,
    ) -> None:
        annotated = annotated or results
        self.tables = annotated / "annotations"
        self.config, self.prior, self.window_s = config, prior, window_s
        self._tells_answers = config["prior"] is not None and config["prior"]["answers"] != "none"
        self.stores = {
            name: FeatureStore((annotated if stream == "text" else results) / "features" / name)
            for stream, content in config["streams"].items()
            for name in content["names"]
        }
        self._kept = {
            name for content in config["streams"].values() if content["in_memory"] for name in content["names"]
        }
        for name, store in self.stores.items():
            if recipes[name] != digest_json(store.recipe):
                raise UserError(
                    f"{store.root}: rows of another recipe than the one asked for. Start the workflow again"
                )
        self._rows: dict[tuple[str, str], RowsInStore] = {}
        self._transcripts = (
            Transcripts(results / "transcripts" / config["transcript"]) if config["transcript"] else None
        )
        videos = read_table(self.tables / "videos.parquet")
        viewed = videos_view(videos, config["queries"]["moments"])
        self._durations = {row["video_id"]: row["duration_s"] for row in viewed.to_pylist()}
        self._media = _media_status(results / "media" / "manifest.parquet", videos) if reads_media else None
        queries = read_table(self.tables / "queries.parquet")
        self._left_out = partial(left_out_queries, queries)
        self._queries = queries.to_pylist() if set(tasks) - {"captions"} or "steps" in captions_of else []
        self._videos = videos.to_pylist() if "videos" in (*tasks, *captions_of) else []
        self._annotated = AnnotatedItems(self.tables, config["queries"]["moments"], tasks, captions_of)

    @classmethod
    def of(cls, settings_path: Path, settings: Mapping[str, Any], prior: Path | None = None) -> "Reader":
        """Return the reader of a system's run.

        Parameters
        ----------
        settings_path : `results/<dataset>/<system>/settings.json`
        settings : its content
        prior : as of the class
        """
        config, results = settings["config"], settings_path.parent.parent
        typed = system_config(config["system"], config["settings"])
        asked = (tasks_of(typed), captions_of(typed), settings["reads_media"], window_seconds(settings))
        videos, annotated = (results.parent / settings[key] for key in ("videos", "annotations"))
        return cls(videos, config, settings["recipes"], annotated, prior, *asked)

    def annotated_split(self, name: str) -> AnnotatedSplit:
        """Return the annotations of a split, of the queries that the system uses."""
        return AnnotatedSplit.read(self.tables, name, self.config["queries"]["kinds"])

    def stream_dims(self) -> dict[str, list[int]]:
        """Return the width of every feature of every stream."""
        streams = self.config["streams"].items()
        return {stream: [self.stores[name].dim for name in content["names"]] for stream, content in streams}

    def feature_revisions(self) -> dict[str, list[str]]:
        """Return the revisions of the code that made the rows of every feature."""
        return {name: store.code_revisions for name, store in self.stores.items()}

    def read(self, split: str, teaches: bool = False) -> Split:
        """Return the items of a split in the order of the annotations: its queries, then its videos.

        Parameters
        ----------
        split : name
        teaches : whether a network learns from it, or is chosen by it; queries whose moments are empty are left out
            then, and else asked all the same

        Raises
        ------
        UserError
            the annotations have no such split
        """
        answers = self._prior_answers(split)
        found = Split(skipped=self._left_out(split, self.config["queries"]["kinds"]))
        rows = [*self._queries_of(split), *self._videos_of(split)]
        if not (rows or found.skipped):
            self._require_split(split)
        used = []
        for row in rows:
            told = self._told(row, split, answers)
            reason = self._unusable(row, told) or (self._annotated.why_empty(row["query_id"]) if teaches else None)
            if reason:
                found.skipped[reason] += 1
                continue
            item = self._item(row, told, self._streams(row))
            found.items.append(item)
            found.keys.append(self._key(item, row))
            used.append(row)
        self._keep(used)
        return found

    def _keep(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Let the stores hold what `in_memory` asks for, of these queries and videos and no others."""
        owners: dict[str, set[str]] = {name: set() for name in self._kept}
        for _, name, owner in (feature for row in rows for feature in self._features(row)):
            if name in self._kept:
                owners[name].add(owner)
        for name, own in owners.items():
            self.stores[name].keep(own)

    def _require_split(self, split: str) -> None:
        known = sorted(
            {row["split"] for row in self._queries} | {name for row in self._videos for name in row["split"]}
        )
        if split not in known:
            raise UserError(f"{self.tables}: no queries in split {split!r}; splits there: {known}")

    def _queries_of(self, split: str) -> Iterator[dict[str, Any]]:
        kinds = self.config["queries"]["kinds"]
        for row in self._queries:
            if row["split"] == split:
                source = json.loads(row["extra_json"] or "{}")
                if kinds is None or source.get("kind") in kinds:
                    yield row | {"source": source}

    def _videos_of(self, split: str) -> Iterator[dict[str, Any]]:
        for row in self._videos:
            if split in row["split"]:
                yield (
                    {"query_id": None, "text": None, "items": None}
                    | row
                    | {"source": json.loads(row["extra_json"] or "{}")}
                )

    def _prior_answers(self, split: str) -> dict[str, list[list[float]]] | None:
        """Return the spans that the prior answered, best first, by query; None if it is not asked."""
        return None if self.prior is None else spans_by_query(self.prior / split)

    def _told(self, row: Mapping[str, Any], split: str, answers: Mapping[str, Any] | None) -> Told:
        prior, video_id = None, row["video_id"]
        if self._tells_answers:
            prior = answers.get(row["query_id"]) if answers is not None else row["source"].get("stage1_result")
        moment, steps = self._annotated.given(row["query_id"])
        return Told(
            is_training=split == self.config["splits"]["train"],
            transcript=None if self._transcripts is None else self._transcripts.of(video_id),
            noun_phrases=None if row["items"] is None else tuple(row["items"]),
            prior_spans=None if prior is None else tuple((start, end) for start, end in prior),
            moment=moment,
            steps=steps,
            window_s=self.window_s if row["query_id"] is None else None,
        )

    def queries_of_roles(self, roles: Sequence[str]) -> list[Item]:
        """Return the items of the splits that play these roles (`train`, `test`), without rows of features.

        As `read`, in the order of the annotations; a video that is not `ok` is left out, a failed feature is not.
        """
        splits = self.config["splits"]
        names = [name for role in roles for name in ([splits[role]] if role == "train" else splits[role])]
        return [
            self._item(row, self._told(row, name, None), {})
            for name in names
            for row in (*self._queries_of(name), *self._videos_of(name))
            if self._lost(row["video_id"]) is None
        ]

    def _owner(self, stream: str, row: Mapping[str, Any]) -> str:
        return row["query_id"] if stream == "text" else row["video_id"]

    def _features(self, row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Yield stream, feature and owner of the rows; a video about which nothing is asked has no text."""
        for stream, content in self.config["streams"].items():
            owner = self._owner(stream, row)
            for name in content["names"] if owner is not None else ():
                yield stream, name, owner

    def _lost(self, video_id: str) -> str | None:
        """Return why a video cannot be used, None if it can or is not read."""
        status = "ok" if self._media is None else self._media.get(video_id, "missing")
        return None if status == "ok" else f"video {status}"

    def _unusable(self, row: Mapping[str, Any], told: Told) -> str | None:
        if lost := self._lost(row["video_id"]):
            return lost
        if self._transcripts is not None and told.transcript is None:
            return f"{self.config['transcript']} failed"
        if self._tells_answers and told.prior_spans is None:
            return f"no answer of {self.config['prior']['system']}"
        for _, name, owner in self._features(row):
            if self._feature(name, owner).status == "failed":
                return f"{name} failed"
        return None

    def _feature(self, name: str, owner: str) -> RowsInStore:
        if (name, owner) not in self._rows:
            store = self.stores[name]
            self._rows[name, owner] = RowsInStore(store, owner, store.status_of(owner))
        return self._rows[name, owner]

    def _streams(self, row: Mapping[str, Any]) -> dict[str, list[Rows]]:
        streams: dict[str, list[Rows]] = {stream: [] for stream in self.config["streams"]}
        for stream, name, owner in self._features(row):
            streams[stream].append(self._feature(name, owner))
        return streams

    def _item(self, row: Mapping[str, Any], told: Told, streams: Mapping[str, list[Rows]]) -> Item:
        video_id, is_video = row["video_id"], row["query_id"] is None
        return Item(
            id=video_id if is_video else row["query_id"],
            video_id=video_id,
            text=row["text"] or "",
            duration_s=self._durations[video_id],
            streams=streams,
            annotated=self._annotated.of(row["query_id"], video_id),
            told=told,
            source=row["source"],
            is_video=is_video,
        )

    def _key(self, item: Item, row: Mapping[str, Any]) -> list[Any]:
        rows = [self.stores[name].key_of(owner) for _, name, owner in self._features(row)]
        annotated = {name: _plain(value) for name, value in vars(item.annotated).items() if len(value)}
        told = {name: value for name, value in asdict(item.told).items() if value not in (None, ())}
        told.pop("is_training")
        return [item.id, row["text"], item.duration_s, annotated, rows, told]


def _media_status(manifest: Path, videos: pa.Table) -> dict[str, str]:
    """Return the status of every video, and warn of files that are longer or shorter than annotated."""
    rows = read_table(manifest, ["video_id", "status", "duration_s"]).to_pylist()
    annotated_s = dict(zip(videos["video_id"].to_pylist(), videos["duration_s"].to_pylist(), strict=True))
    duration_differences(annotated_s, {row["video_id"]: row["duration_s"] for row in rows})
    return {row["video_id"]: row["status"] for row in rows}


def _plain(value: Any) -> Any:
    return (
        value.tolist()
        if isinstance(value, np.ndarray)
        else [part if isinstance(part, str) else vars(part) for part in value]
    )


def spans_by_query(run: Path) -> dict[str, list[list[float]]]:
    """Return the predicted [start, end] (seconds) of every query, best first; answers that say nothing are left out.

    Parameters
    ----------
    run : folder of the answers
    """
    rows = read_answers(run, "moments").select(["query_id", "rank", "start_s", "end_s"]).to_pylist()
    found: dict[str, list[list[float]]] = {row["query_id"]: [] for row in rows}
    for row in sorted(rows, key=lambda row: row["rank"]):
        if row["start_s"] is not None:
            found[row["query_id"]].append([row["start_s"], row["end_s"]])
    return found


def _hash_share(video_id: str) -> float:
    """Return a number from 0 to 1, always the same for an id."""
    return int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:8]) / 2**64
