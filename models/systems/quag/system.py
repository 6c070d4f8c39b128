"""QUAG and the HiREST joint baseline as the workflow sees them: three tasks from one network, one task per batch.

Source: tuyunbin/QUAG (AAAI 2025, arXiv 2412.13543) and j-min/HiREST (CVPR 2023, arXiv 2303.16406).
"""

import logging
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from models.systems import interface
from models.systems.interface import Answer, Batch, Caption, Item, Span, Step
from models.systems.quag import optimisation, samples
from models.systems.quag.checkpoint import start_from_clip4caption, trained_state
from models.systems.quag.config import CLIP4CAPTION, Config
from models.systems.quag.losses import loss_terms
from models.systems.quag.network import MomentNetwork
from models.systems.quag.predicting import describe_steps, find_moments, find_steps
from models.systems.quag.words import bert_words

log = logging.getLogger(__name__)


class System(interface.System):
    """Implements `models.systems.interface.System`; a unit is (task, item, number of the step).

    Streams: `visual`, one feature with a row per second; `text`, one row per query; `speech`, one feature with a row
    per line of the transcript or per second (form hirest does without if there is none).
    """

    def __init__(self, config: Config, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        """`stream_dims`: stream name -> width of each of its features.

        Raises
        ------
        ValueError
            If there is not one visual and one text feature, or more than one of speech.
        """
        super().__init__(config, fitted, stream_dims)
        counts = {name: len(self.stream_dims.get(name, [])) for name in ("visual", "text", "speech")}
        if counts["visual"] != 1 or counts["text"] != 1 or counts["speech"] > 1:
            raise ValueError(f"QUAG needs one visual and one text feature, and at most one of speech; given: {counts}")

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used, None if it can.

        `no_visual`, `no_text`, `no_whole_second`, `too_few_rows`, `no_moment` (training).
        """
        n_rows, seconds = item.streams["visual"][0].n_rows, round(item.duration_s)
        if not n_rows:
            return "no_visual"
        if not item.streams["text"][0].n_rows:
            return "no_text"
        if seconds < 1:
            return "no_whole_second"
        if n_rows < seconds and self.config.data.missing_rows == "refuse":
            return "too_few_rows"
        return "no_moment" if training and not len(item.annotated.moments) else None

    def units(self, items: Sequence[Item], task: str | None = None) -> list[Any]:
        """Return what a task asks of the items; without a task what all of them are trained on, task by task."""
        if task is not None:
            counts = {"moments": lambda item: 1, "steps": lambda item: 1, "captions": lambda item: len(item.told.steps)}
            return [(task, item, number) for item in items for number in range(counts[task](item))]
        found = []
        for own in self.tasks:
            for item in items:
                found += [(own, item, number) for number in self._trained_on(own, item)]
        return found

    def _trained_on(self, task: str, item: Item) -> list[int]:
        """Return the numbers of the training samples of an item."""
        spans = _bounds(item)
        if task == "steps":
            # A boundary behind the moment cannot be found inside it.
            times, end_s = samples.boundaries_of(spans), item.annotated.moments[0][1]
            return [number for number in range(samples.n_step_samples(spans)) if times[number + 1] <= end_s]
        return list(range(1 if task == "moments" else len(spans)))

    def batches(self, units: Sequence[Any], size: int, rng: random.Random, epoch: int) -> list[list[int]]:
        """Return batches of one task each, their tasks in the published order of the epoch."""
        waiting: dict[str, list[list[int]]] = {}
        for task in self.tasks:
            own = [number for number, unit in enumerate(units) if unit[0] == task]
            rng.shuffle(own)
            waiting[task] = [own[start : start + size] for start in range(0, len(own), size)]
        order = optimisation.task_order({task: len(own) for task, own in waiting.items()}, epoch)
        return [waiting[task].pop(0) for task in order]

    def sample(self, unit: Any, rng: random.Random | None) -> dict[str, Any]:
        """Return the network input of a task about an item; with `rng` also the targets, nothing is drawn.

        Raises
        ------
        ValueError
            If the query is too long (`data.long_prompt`), or `samples.read_video` refuses the features.
        """
        task, item, number = unit
        samples.check_prompt(item.text, self.config.data)
        video = self._video(item)
        if task == "moments":
            moment = None if rng is None else tuple(item.annotated.moments[0].tolist())
            found = samples.moment_sample(video, moment)
        elif task == "steps" and rng is not None:
            moment = tuple(item.annotated.moments[0].tolist())
            found = samples.step_sample(video, moment, _bounds(item), number)
        elif task == "steps":
            found = samples.steps_question(video, item.told.moment)
        else:
            step = item.told.steps[number] if rng is None else _bounds(item)[number]
            text = None if rng is None else item.annotated.steps[number].heading
            found = samples.caption_sample(video, step, text, bert_words(), self.config.data)
        query = np.asarray(item.streams["text"][0].read(slice(1))[0], dtype=np.float32)
        asked = (item.id, item.video_id, number, video)
        return {"task": task, "query": query, "video_id": item.video_id, "asked": asked, **found}

    def _video(self, item: Item) -> samples.Video:
        visual, speech = item.streams["visual"][0], item.streams.get("speech")
        said = None
        if speech:
            said = (speech[0].read().reshape(-1, self.stream_dims["speech"][0]), speech[0].times.tolist())
        # What lies behind the last whole second is never looked at.
        rows = visual.read(slice(round(item.duration_s)))
        return samples.read_video(item.video_id, item.duration_s, rows, said, self.config.data)

    def collate(self, samples_: Sequence[dict[str, Any]]) -> Batch:
        """Return a batch of one task (`samples.collate`), with what was asked in `asked`."""
        # What follows a caption's end counts as published, so that its length does, too.
        n_words = None if self.config.loss.ignore_pad else self.config.data.max_words
        batch = samples.collate(samples_[0]["task"], samples_, n_words)
        return batch | {"asked": [sample["asked"] for sample in samples_]}

    def _build_network(self) -> MomentNetwork:
        speech = self.stream_dims.get("speech") or [0]
        return MomentNetwork(self.config.network, self.stream_dims["visual"][0], self.stream_dims["text"][0], speech[0])

    def network(self, base: Mapping[str, Any] | None = None) -> MomentNetwork:
        """Return the network, its caption decoder started from CLIP4Caption's weights where `base` has them."""
        network = self._build_network()
        if base and CLIP4CAPTION in base:
            log.info("%s", start_from_clip4caption(network, self.config.network, base[CLIP4CAPTION]))
        return network

    def loss(self, network: Any, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the loss of the batch's task by its name, and QUAG's contrast of video and speech."""
        return loss_terms(network(batch), batch, self.config.loss)

    def predict(self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False) -> list[Answer]:
        """Return one moment per query, the steps of its given moment, or a caption of each given step.

        As published a moment may end before it starts, and a moment may have no step: that is a row without span.
        """
        if task == "moments":
            found = find_moments(network, batch, self.config)
            return [
                Span(query, video_id, 0, float(video.second(first)), float(video.second(last)), 1.0)
                for (query, video_id, _, video), (first, last) in zip(batch["asked"], found, strict=True)
            ]
        if task == "captions":
            words, captions = bert_words(), describe_steps(network, batch, self.config, bert_words())
            return [
                Caption(query, video_id, number, 0, words.text(caption.ids), caption.score)
                for (query, video_id, number, _), caption in zip(batch["asked"], captions, strict=True)
            ]
        answers: list[Answer] = []
        boundaries = find_steps(network, batch, self.config)
        for (query, video_id, _, video), rows in zip(batch["asked"], boundaries, strict=True):
            steps = list(pairwise(float(video.second(row)) for row in rows)) or [(None, None)]
            answers += [Step(query, video_id, index, start, end) for index, (start, end) in enumerate(steps)]
        return answers

    def parameter_groups(self, network: Any) -> list[dict[str, Any]]:
        """Return one group: everything is decayed."""
        return optimisation.parameter_groups(network, self.config.train)

    def optimiser(self, groups: list[dict[str, Any]]) -> Any:
        """Return AdamW."""
        return optimisation.optimiser(groups, self.config.train)

    def schedule(self, optimiser: Any, n_steps: int) -> Any:
        """Return the linear rise and fall over all optimiser steps."""
        return optimisation.schedule(optimiser, n_steps, self.config.train)

    def import_checkpoint(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the network's state dict for a published one.

        Raises
        ------
        ValueError
            If it is of the other form, a name is missing or unknown, or a shape differs.
        """
        return trained_state(self._build_network(), self.config.network, state)


def _bounds(item: Item) -> list[tuple[float, float]]:
    return [(step.start_s, step.end_s) for step in item.annotated.steps]
