"""Read the annotations of a split as the questions that a rule set scores."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.datasets.schema import caption_kind, moments_view, videos_view, without_empty
from workflow_scripts.lib.metrics.clip_saliency import ClipRatings
from workflow_scripts.lib.metrics.errors import BadReference, NothingAnnotated, PlaceholderReference
from workflow_scripts.lib.metrics.questions import Captions, Moments, Rankings, Steps
from workflow_scripts.lib.metrics.windows import pad_windows
from workflow_scripts.lib.store.tables import read_table


@dataclass(frozen=True)
class AnnotatedSplit:
    """The canonical tables of one split, read once.

    Attributes
    ----------
    folder : of the tables
    name : of the split
    queries : rows of the split
    videos_asked : the videos that captions are asked of; None: all
    """

    folder: Path
    name: str
    queries: pa.Table
    videos_asked: frozenset[str] | None = None

    @classmethod
    def read(cls, folder: Path, name: str, kinds: Collection[str] | None = None) -> "AnnotatedSplit":
        """Read a split, or only its queries of some kinds.

        Raises
        ------
        BadReference
            If there is no such query.
        """
        every = read_table(folder / "queries.parquet")
        queries = every.filter(pc.equal(every["split"], name))
        if kinds is not None:
            extra = [json.loads(text or "{}") for text in queries["extra_json"].to_pylist()]
            queries = queries.filter(pa.array([row.get("kind") in kinds for row in extra], pa.bool_()))
        if not queries.num_rows and name not in {split for row in _splits(folder) for split in row}:
            known = ", ".join(sorted({split for row in _splits(folder) for split in row}))
            raise BadReference(f"{folder}: no split {name!r}; there are: {known}")
        return cls(folder, name, queries)

    def table(self, name: str) -> pa.Table:
        """Return the rows of the split in another table."""
        every = read_table(self.folder / f"{name}.parquet")
        return every.filter(pc.equal(every["split"], self.name))

    def only(self, query_ids: Collection[str], videos: Collection[str] | None = None) -> "AnnotatedSplit":
        """Return the split with some of its queries and, if they are named, some of its videos."""
        asked = pc.is_in(self.queries["query_id"], pa.array(query_ids, pa.string()))
        return AnnotatedSplit(
            self.folder, self.name, self.queries.filter(asked), None if videos is None else frozenset(videos)
        )

    def extra(self) -> dict[str, Mapping[str, Any]]:
        """Return the extra fields of every query by its id."""
        ids, texts = self.queries["query_id"].to_pylist(), self.queries["extra_json"].to_pylist()
        return {query: json.loads(text or "{}") for query, text in zip(ids, texts, strict=True)}

    def moments(self, view: str) -> Moments:
        """Return the queries with annotated moments, and their clips' ratings if there are any.

        Parameters
        ----------
        view : of the annotated moments

        Raises
        ------
        NothingAnnotated, PlaceholderReference
            If no moment is annotated. The other questions raise the first likewise.
        """
        videos = read_table(self.folder / "videos.parquet")
        moments = moments_view(without_empty(self.table("moments"), videos)[0], videos, view)
        asked = self.queries.filter(pc.is_in(self.queries["query_id"], moments["query_id"].combine_chunks()))
        if not asked.num_rows:
            self._refuse_nothing()
        ids = asked["query_id"].combine_chunks()
        moments = moments.filter(pc.is_in(moments["query_id"], ids))
        query = pc.index_in(moments["query_id"], ids).to_numpy().astype(np.int64)
        order = np.lexsort((moments["window_index"].to_numpy(), query))
        spans = np.stack([moments["start_s"].to_numpy(), moments["end_s"].to_numpy()], axis=-1)[order]
        viewed = videos_view(videos, view)
        row = pc.index_in(asked["video_id"], viewed["video_id"].combine_chunks())
        durations_s = viewed["duration_s"].take(row).to_numpy()
        names = ids.to_pylist()
        targets = pad_windows(names, np.bincount(query, minlength=len(ids)), spans)
        return Moments(names, asked["video_id"].to_pylist(), durations_s, targets, self._ratings(ids, durations_s))

    def empty_moments(self, asked: Collection[str] | None = None) -> Counter[str]:
        """Return of how many queries nothing of the annotated moments lies inside the video, by reason.

        Parameters
        ----------
        asked : ids of queries; None: all of the split
        """
        _, lost = without_empty(self.table("moments"), read_table(self.folder / "videos.parquet"))
        of = set(self.queries["query_id"].to_pylist() if asked is None else asked)
        return Counter(why for query, why in lost.items() if query in of)

    def _refuse_nothing(self) -> None:
        is_placeholder = any("placeholder_bounds" in extra for extra in self.extra().values())
        if is_placeholder and any(self.queries["clippable"].to_pylist()):
            raise PlaceholderReference(
                f"the published labels of split {self.name!r} are placeholders ([0, 1] for every video): the moments "
                "of the HiREST test split are not public. Score the split val instead (all_data_val.json): the "
                "published numbers are of that split."
            )
        raise NothingAnnotated(f"{self.folder}: split {self.name!r} has no annotated moment to score against")

    def _ratings(self, ids: pa.Array, durations_s: np.ndarray) -> ClipRatings | None:
        saliency = self.table("saliency")
        saliency = saliency.filter(pc.is_in(saliency["query_id"], ids))
        if not saliency.num_rows:
            return None
        query = pc.index_in(saliency["query_id"], ids).to_numpy().astype(np.int64)
        counts = (durations_s / saliency["clip_length_s"][0].as_py()).astype(np.int64)
        given = np.array(saliency["scores"].to_pylist(), dtype=np.float64)
        scores = np.zeros((len(ids), int(counts.max()), given.shape[1]))
        scores[query, saliency["clip_index"].to_numpy()] = given
        return ClipRatings(scores, counts)

    def _step_rows(self) -> dict[str, list[dict[str, Any]]]:
        asked = set(self.queries["query_id"].to_pylist())
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in self.table("steps").to_pylist():
            if row["query_id"] in asked:
                rows.setdefault(row["query_id"], []).append(row)
        if not rows:
            raise NothingAnnotated(f"{self.folder}: split {self.name!r} has no annotated step to score against")
        return rows

    def steps(self) -> Steps:
        """Return the queries with annotated steps."""
        rows = self._step_rows()
        bounds = [[[row["start_s"], row["end_s"]] for row in steps] for steps in rows.values()]
        return Steps(list(rows), [steps[0]["video_id"] for steps in rows.values()], bounds)

    def step_captions(self) -> Captions:
        """Return the annotated steps, by `step_id`, each with its heading as the reference."""
        rows = [row for steps in self._step_rows().values() for row in steps]
        ids = [step_id(row["query_id"], row["step_index"]) for row in rows]
        return Captions(ids, [row["video_id"] for row in rows], [[row["text"]] for row in rows])

    def captions(self) -> Captions:
        """Return the videos with their reference captions."""
        table = self.table("captions")
        kind = caption_kind(table["kind"].to_pylist())
        if kind is None:
            raise NothingAnnotated(f"{self.folder}: split {self.name!r} has no reference caption to score against")
        texts: dict[str, list[str]] = {}
        for row in table.filter(pc.equal(table["kind"], kind)).to_pylist():
            texts.setdefault(row["video_id"], []).append(row["text"])
        if self.videos_asked is not None:
            texts = {video: own for video, own in texts.items() if video in self.videos_asked}
        if not texts:
            raise NothingAnnotated(f"{self.folder}: no video of split {self.name!r} that was asked has a caption")
        return Captions(list(texts), list(texts), list(texts.values()))

    def rankings(self) -> Rankings:
        """Return the prompts with the names of the videos that answer them."""
        names = self.source_names()
        found: dict[str, list[str]] = {}
        for prompt, video in zip(self.queries["text"].to_pylist(), self.queries["video_id"].to_pylist(), strict=True):
            found.setdefault(prompt, []).append(names[video])
        if not found:
            raise NothingAnnotated(f"{self.folder}: split {self.name!r} has no prompt")
        return Rankings(list(found), list(found.values()))

    def source_names(self) -> dict[str, str]:
        """Return what the source files call every video."""
        videos = read_table(self.folder / "videos.parquet", ["video_id", "source_video_id"]).to_pydict()
        return dict(zip(videos["video_id"], videos["source_video_id"], strict=True))

    def prompts(self) -> dict[str, str]:
        """Return the text of every query; queries of one text are one prompt to a corpus."""
        return dict(zip(self.queries["query_id"].to_pylist(), self.queries["text"].to_pylist(), strict=True))


def step_id(query_id: str, step_index: int) -> str:
    """Return the name of a step in tables of scores."""
    return f"{query_id}#{step_index}"


def step_owner(name: str) -> str:
    """Return the query of a step's name."""
    return name.rpartition("#")[0]


def _splits(folder: Path) -> list[list[str]]:
    return read_table(folder / "videos.parquet", ["split"])["split"].to_pylist()
