"""Zero-shot answers as the workflow sees them: nothing is trained, rows of one encoder are compared."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from models.systems import interface
from models.systems.interface import SALIENCY_CLIP_S, Answer, Batch, Item, Ranked, Saliency, Span, at_hand
from models.systems.zero_shot.moments import in_seconds, merged_moments
from models.systems.zero_shot.ranking import best_videos, directions, mean_row
from models.systems.zero_shot.segments import ranked, segment_spans
from models.systems.zero_shot.threshold_merge import saliency
from models.systems.zero_shot.timed_scores import timed_scores, usable_rows
from models.systems.zero_shot.watershed import watershed_spans

TEXT = "text"


class System(interface.System):
    """Compares the rows of a query's texts with those of a video: its pictures, captions, labels or lines of speech.

    The stream that is not `text` is what the videos are known by. Several rows of a query are other wordings of it.
    """

    def __init__(self, config: Any, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        super().__init__(config, fitted, stream_dims)
        known_by = sorted(set(self.stream_dims) - {TEXT})
        widths = [dims for dims in self.stream_dims.values() if len(dims) == 1]
        if len(known_by) != 1 or len(widths) != 2 or widths[0] != widths[1]:
            raise ValueError(
                "zero_shot compares rows of queries (stream text) with rows of videos (one other stream: visual, "
                "captions, labels or speech), one feature of each and both by the same encoder; found the widths "
                f"{self.stream_dims}"
            )
        [self.known_by] = known_by

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used: a query without a row, a video without rows that would be looked into."""
        needed = [self.known_by] if item.is_video else [TEXT]
        if not item.is_video and set(self.tasks) - {"videos"}:
            needed.append(self.known_by)
        return next((f"no {stream} rows" for stream in needed if not item.streams[stream][0].n_rows), None)

    def units(self, items: Sequence[Item], task: str | None = None) -> list[Any]:
        """Return the items; all queries and videos as one where they are ranked against one another."""
        return [list(items)] if task == "videos" else list(items)

    def sample(self, unit: Sequence[Item] | Item, rng: random.Random | None) -> dict[str, Any]:
        """Return a query as it is; the rows of all queries and of all videos, of length 1, read one after the other."""
        if isinstance(unit, Item):
            return {"query": at_hand([unit])[0]}
        queries = [item for item in unit if not item.is_video]
        corpus = [item for item in unit if item.is_video]
        rows = np.zeros((len(corpus), self.stream_dims[self.known_by][0]), dtype=np.float32)
        for number, video in enumerate(corpus):
            rows[number] = mean_row(video.streams[self.known_by][0].read(), self.config.frames)
        texts = [item.streams[TEXT][0].read(slice(1))[0] for item in queries]
        return {"queries": queries, "corpus": corpus, "texts": directions(np.stack(texts)), "rows": rows}

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
        localise = {"threshold_merge": self._merged, "segments": self._segments, "watershed": self._watershed}
        spans = localise[self.config.localiser](item)
        for rank, (start, end, score) in enumerate(spans[: self.config.max_spans].tolist()):
            yield Span(item.id, item.video_id, rank, start, min(end, item.duration_s), score)

    def _merged(self, item: Item) -> np.ndarray:
        return merged_moments(self._scored(item), item.duration_s, self.config)

    def _segments(self, item: Item) -> np.ndarray:
        rows, texts = self._rows(item), item.streams[TEXT][0].read()
        spans = [segment_spans(rows.values[:, None], text, self.config.segments) for text in texts]
        return in_seconds(ranked(np.concatenate(spans)), rows.times)

    def _watershed(self, item: Item) -> np.ndarray:
        rows = self._rows(item)
        scored = timed_scores(item.streams[TEXT][0].read(), rows)
        return in_seconds(watershed_spans(rows.values, scored.scores, self.config.watershed), rows.times)

    def _saliency(self, item: Item) -> Iterable[Saliency]:
        n_clips = max(1, int(item.duration_s / SALIENCY_CLIP_S))
        scores = saliency(self._scored(item).on_clips(SALIENCY_CLIP_S, n_clips).scores)
        yield Saliency(item.id, item.video_id, tuple(scores.tolist()))

    def _scored(self, item: Item) -> Any:
        return timed_scores(item.streams[TEXT][0].read(), self._rows(item))

    def _rows(self, item: Item) -> interface.FeatureRows:
        return usable_rows(item.streams[self.known_by][0], item.duration_s)

    def _ranking(self, batch: Batch) -> Iterator[Ranked]:
        names = [video.video_id for video in batch["corpus"]]
        best_of = best_videos(batch["texts"], batch["rows"], names, self.config.keep, self.config.block)
        for query, (best, scores) in zip(batch["queries"], best_of, strict=True):
            for rank, (number, score) in enumerate(zip(best.tolist(), scores.tolist(), strict=True)):
                yield Ranked(query.id, rank, names[number], score)
