"""The baseline as the workflow sees it: every task, answered without looking at video or query."""

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from models.systems import interface
from models.systems.baseline.config import Config
from models.systems.baseline.constants import bins_of, constant_span, mean_saliency, most_frequent, usual_number
from models.systems.interface import SALIENCY_CLIP_S, Answer, Batch, Caption, Item, Ranked, Saliency, Span, Step


class System(interface.System):
    """A constant span, the mean curve of saliency, uniform steps, the most frequent caption, a random order."""

    @classmethod
    def fit(cls, config: Config, items: Sequence[Item]) -> dict[str, Any]:
        """Return what is answered, from the annotations of the training items."""
        return {
            "span": constant_span(items, config.hit_iou),
            "saliency": mean_saliency(items),
            "n_steps": usual_number(len(item.annotated.steps) for item in items),
            "step_caption": most_frequent(step.heading for item in items for step in item.annotated.steps),
            "video_caption": most_frequent(text for item in items for text in item.annotated.captions),
        }

    def units(self, items: Sequence[Item], task: str | None = None) -> list[Any]:
        """Return the items; all of them as one, where they are ranked."""
        return [list(items)] if task == "videos" else list(items)

    def sample(self, unit: Any, rng: random.Random | None) -> dict[str, Any]:
        """Return the unit as it is."""
        return {"unit": unit}

    def collate(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Return the units as they are."""
        return {"units": [sample["unit"] for sample in samples]}

    def network(self, base: Mapping[str, Any] | None = None) -> torch.nn.Module:
        """Return a network without weights."""
        return torch.nn.Identity()

    def predict(self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False) -> list[Answer]:
        """Return the constant answers; nothing is drawn from `generator`."""
        answer = {
            "moments": self._span,
            "highlights": self._saliency,
            "steps": self._steps,
            "captions": self._captions,
            "videos": self._ranking,
        }[task]
        return [answered for unit in batch["units"] for answered in answer(unit)]

    def _span(self, item: Item) -> Iterable[Span]:
        start, end = (share * item.duration_s for share in self.fitted["span"])
        yield Span(item.id, item.video_id, 0, start, end, 1.0)

    def _saliency(self, item: Item) -> Iterable[Saliency]:
        n_clips = max(1, int(item.duration_s / SALIENCY_CLIP_S))
        yield Saliency(item.id, item.video_id, tuple(np.array(self.fitted["saliency"])[bins_of(n_clips)].tolist()))

    def _steps(self, item: Item) -> Iterable[Step]:
        bounds = np.linspace(*item.told.moment, self.fitted["n_steps"] + 1).tolist()
        for index, (start, end) in enumerate(pairwise(bounds)):
            yield Step(item.id, item.video_id, index, start, end)

    def _captions(self, item: Item) -> Iterable[Caption]:
        if item.is_video:
            yield Caption("", item.video_id, None, 0, self.fitted["video_caption"])
        for index in range(len(item.told.steps)):
            yield Caption(item.id, item.video_id, index, 0, self.fitted["step_caption"])

    def _ranking(self, items: Sequence[Item]) -> Iterable[Ranked]:
        corpus = [item.video_id for item in items if item.is_video]
        for item in items:
            if not item.is_video:
                order = random.Random(f"{self.config.seed}/{item.text}").sample(corpus, len(corpus))
                for rank, video_id in enumerate(order):
                    yield Ranked(item.id, rank, video_id, -float(rank))
