"""Zero-shot answers as the workflow sees them: nothing is trained, rows of one image-text encoder are compared."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from models.systems import interface
from models.systems.interface import Batch, Item, Ranked
from models.systems.zero_shot.ranking import best_videos, directions, mean_row


class System(interface.System):
    """Ranks videos by the cosine of a query's row with the mean of a video's rows."""

    def __init__(self, config: Any, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        super().__init__(config, fitted, stream_dims)
        widths = {stream: sum(dims) for stream, dims in self.stream_dims.items()}
        if len(set(widths.values())) != 1 or set(widths) != {"visual", "text"}:
            raise ValueError(
                f"zero_shot compares rows of queries (stream text) with rows of videos (stream visual), one feature of "
                f"each and both by the same encoder; found the widths {widths}"
            )

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used: a video without rows, a query without a row."""
        stream = "visual" if item.is_video else "text"
        return None if len(item.streams[stream][0].values) else f"no {stream} rows"

    def units(self, items: Sequence[Item], task: str | None = None) -> list[Any]:
        """Return all queries and videos as one: they are ranked against one another."""
        return [list(items)]

    def sample(self, unit: Sequence[Item], rng: random.Random | None) -> dict[str, Any]:
        """Return the rows of all queries and of all videos, of length 1, read one after the other."""
        queries = [item for item in unit if not item.is_video]
        corpus = [item for item in unit if item.is_video]
        rows = np.zeros((len(corpus), self.stream_dims["visual"][0]), dtype=np.float32)
        for number, video in enumerate(corpus):
            rows[number] = mean_row(video.streams["visual"][0].values, self.config.frames)
        texts = [item.streams["text"][0].values[0] for item in queries]
        return {"queries": queries, "corpus": corpus, "texts": directions(np.stack(texts)), "rows": rows}

    def collate(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Return the one sample."""
        return dict(samples[0])

    def network(self, base: Mapping[str, Any] | None = None) -> torch.nn.Module:
        """Return a network without weights."""
        return torch.nn.Identity()

    def predict(
        self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False
    ) -> Iterator[Ranked]:
        """Yield the best videos of every query."""
        names = [video.video_id for video in batch["corpus"]]
        ranked = best_videos(batch["texts"], batch["rows"], names, self.config.keep, self.config.block)
        for query, (best, scores) in zip(batch["queries"], ranked, strict=True):
            for rank, (number, score) in enumerate(zip(best.tolist(), scores.tolist(), strict=True)):
                yield Ranked(query.id, rank, names[number], score)
