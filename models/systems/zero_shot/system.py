"""Zero-shot answers as the workflow sees them: nothing is trained, rows of an encoder are compared."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from models.systems import interface
from models.systems.interface import SALIENCY_CLIP_S, Answer, Batch, FeatureRows, Item, Ranked, Saliency, Span, at_hand
from models.systems.zero_shot.fusion import fused_clips, fused_names, fused_spans
from models.systems.zero_shot.moments import localised
from models.systems.zero_shot.ranking import best_videos, directions, mean_row
from models.systems.zero_shot.temporal_clusters import smoothed
from models.systems.zero_shot.threshold_merge import saliency
from models.systems.zero_shot.timed_scores import timed_scores, usable_rows

TEXT = "text"


class System(interface.System):
    """Compares the rows of a query's texts with those of a video: its pictures, captions, labels or lines of speech.

    Every stream but `text` is a source: what the videos are known by. What several sources answer is fused by rank.
    Several rows of a query are other wordings of it.
    """

    def __init__(self, config: Any, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        super().__init__(config, fitted, stream_dims)
        texts = list(self.stream_dims.get(TEXT, ()))
        self._text_of = {name: self.config.text_of.get(name, 0) for name in sorted(set(self.stream_dims) - {TEXT})}
        is_comparable = all(
            list(self.stream_dims[source]) == texts[number : number + 1] for source, number in self._text_of.items()
        )
        named = (
            set(self._text_of.values()) == set(range(len(texts))) and self.config.text_of.keys() <= self._text_of.keys()
        )
        if not (is_comparable and named and texts):
            raise ValueError(
                "zero_shot compares rows of queries (stream text) with rows of videos (other streams: visual, "
                "captions, labels or speech), one feature of each and both by the same encoder; where streams need "
                f"several encoders, `text_of` says which feature of text is whose; found the widths {self.stream_dims} "
                f"and text_of {dict(self.config.text_of)}"
            )

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used: a query without a row, a video without rows that would be looked into."""
        if not item.is_video and not all(rows.n_rows for rows in item.streams[TEXT]):
            return f"no {TEXT} rows"
        if (item.is_video or set(self.tasks) - {"videos"}) and not self._sources_of(item):
            return f"no {' or '.join(self._text_of)} rows"
        return None

    def units(self, items: Sequence[Item], task: str | None = None) -> list[Any]:
        """Return the items; all queries and videos as one where they are ranked against one another."""
        return [list(items)] if task == "videos" else list(items)

    def sample(self, unit: Sequence[Item] | Item, rng: random.Random | None) -> dict[str, Any]:
        """Return a query as it is; the rows of all queries and of all videos, of length 1, read one after the other."""
        if isinstance(unit, Item):
            return {"query": at_hand([unit])[0]}
        queries = [item for item in unit if not item.is_video]
        corpus = [item for item in unit if item.is_video]
        texts = {
            source: directions(np.stack([item.streams[TEXT][number].read(slice(1))[0] for item in queries]))
            for source, number in self._text_of.items()
        }
        return {"queries": queries, "texts": texts, "corpora": {name: self._corpus(corpus, name) for name in texts}}

    def collate(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Return the queries, or the one sample of a ranking."""
        return {"items": [sample["query"] for sample in samples]} if "query" in samples[0] else dict(samples[0])

    def network(self, base: Mapping[str, Any] | None = None) -> torch.nn.Module:
        """Return a network without weights."""
        return torch.nn.Identity()

    def predict(
        self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False
    ) -> Iterator[Answer]:
        """Yield the best moments, the scores of clips, or the best videos of every query."""
        if task == "videos":
            yield from self._ranking(batch)
            return
        answer = {"moments": self._moments, "highlights": self._saliency}[task]
        for item in batch["items"]:
            yield from answer(item)

    def _moments(self, item: Item) -> Iterable[Span]:
        found = [self._found(item, source) for source in self._telling(item)]
        spans = found[0] if len(self._text_of) == 1 else fused_spans(found)
        for rank, (start, end, score) in enumerate(spans[: self.config.max_spans].tolist()):
            yield Span(item.id, item.video_id, rank, start, min(end, item.duration_s), score)

    def _found(self, item: Item, source: str) -> np.ndarray:
        texts, rows = self._texts(item, source), self._rows(item, source)
        return localised(texts, rows.values, timed_scores(texts, rows), item.duration_s, self.config)

    def _saliency(self, item: Item) -> Iterable[Saliency]:
        n_clips = max(1, int(item.duration_s / SALIENCY_CLIP_S))
        of_sources = np.stack(
            [
                saliency(self._scored(item, source).on_clips(SALIENCY_CLIP_S, n_clips).scores)
                for source in self._telling(item)
            ]
        )
        smooth = smoothed(of_sources.T, self.config.saliency_clips).T
        scores = smooth[0] if len(self._text_of) == 1 else fused_clips(smooth)
        yield Saliency(item.id, item.video_id, tuple(scores.tolist()))

    def _scored(self, item: Item, source: str) -> Any:
        return timed_scores(self._texts(item, source), self._rows(item, source))

    def _texts(self, item: Item, source: str) -> np.ndarray:
        return item.streams[TEXT][self._text_of[source]].read()

    def _rows(self, item: Item, source: str) -> FeatureRows:
        return usable_rows(item.streams[source][0], item.duration_s)

    def _sources_of(self, item: Item) -> list[str]:
        return [source for source in self._text_of if item.streams[source][0].n_rows]

    def _telling(self, item: Item) -> list[str]:
        """Return the sources whose scores differ in the video, or the first that has rows: one answer is given."""
        known = self._sources_of(item)
        if len(known) == 1:
            return known
        return [name for name in known if np.ptp(self._scored(item, name).scores, axis=1).any()] or known[:1]

    def _corpus(self, videos: Sequence[Item], source: str) -> tuple[list[str], np.ndarray]:
        """Return the ids of the videos that have rows, and the direction of each, (N, D)."""
        known = [video for video in videos if video.streams[source][0].n_rows]
        rows = np.zeros((len(known), self.stream_dims[source][0]), dtype=np.float32)
        for number, video in enumerate(known):
            rows[number] = mean_row(video.streams[source][0].read(), self.config.frames)
        return [video.video_id for video in known], rows

    def _ranking(self, batch: Batch) -> Iterator[Ranked]:
        corpora = {source: corpus for source, corpus in batch["corpora"].items() if corpus[0]}
        lists = [
            _named(best_videos(batch["texts"][source], rows, names, self.config.keep, self.config.block), names)
            for source, (names, rows) in corpora.items()
        ]
        for query, *found in zip(batch["queries"], *lists, strict=bool(lists)):
            best = found[0] if len(self._text_of) == 1 else fused_names(found)[: self.config.keep]
            for rank, (name, score) in enumerate(best):
                yield Ranked(query.id, rank, name, score)


def _named(found: Iterable[tuple[np.ndarray, np.ndarray]], names: Sequence[str]) -> Iterator[list[tuple[str, float]]]:
    for best, scores in found:
        yield [(names[number], score) for number, score in zip(best.tolist(), scores.tolist(), strict=True)]
