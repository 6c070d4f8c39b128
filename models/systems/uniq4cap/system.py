"""UniQ4Cap's captioner as the workflow sees it: one caption per video, from the tokens of its picture and of its sound.

Source: LePanda026/Implementation-for-Uniq4Cap.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.layers.qformer import Pair
from models.systems import interface
from models.systems.interface import Batch, Caption, Item
from models.systems.uniq4cap import optimisation
from models.systems.uniq4cap.alignment import alignment_terms, alikeness, chosen_candidates, text_vectors
from models.systems.uniq4cap.captioning import write_captions
from models.systems.uniq4cap.checkpoint import start_from_published, trained_state
from models.systems.uniq4cap.config import BERT, BLIP2, Config
from models.systems.uniq4cap.folding import FoldedBridges
from models.systems.uniq4cap.losses import loss_terms
from models.systems.uniq4cap.network import Captioner
from models.systems.uniq4cap.samples import (
    captions_to_learn,
    collate,
    drawn_bag,
    drawn_caption,
    drawn_tokens,
    padded_texts,
    windows,
)
from models.systems.uniq4cap.words import CaptionWords, read_vocabulary, uncased_words, words_of

log = logging.getLogger(__name__)

TEXTS_AT_ONCE = 256
"""Candidates that are read together, so that memory has a bound."""
MEDIA_AT_ONCE = 8
"""Videos that are looked at together: keys and values of one, in all layers, take 98 MB at full size."""


class System(interface.System):
    """Implements `models.systems.interface.System`; a unit is a video, or a window of one.

    Streams: `visual` and `audio`, one feature each, whose rows are the tokens of a tower; without `audio` nothing is
    heard.
    """

    @classmethod
    def fit(cls, config: Config, items: Sequence[Item]) -> dict[str, Any]:
        """Return the vocabulary, unless it is in the repository, and of stage align what answers are chosen from.

        Raises
        ------
        ValueError
            If the vocabulary's file does not exist.
        """
        fitted: dict[str, Any] = {}
        if config.network.bert == "cased":
            fitted["words"] = read_vocabulary(Path(config.data.vocabulary))
        if config.network.bert == "captions":
            fitted["words"] = words_of(text for item in items for text in item.annotated.captions)
        if config.stage == "align":
            fitted["candidates"] = chosen_candidates(items, config)
        return fitted

    def __init__(self, config: Config, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        """`fitted` as `fit` returned it; `stream_dims`: stream name -> width of each of its features.

        Raises
        ------
        ValueError
            If there is not one visual feature, or more than one of sound.
        """
        super().__init__(config, fitted, stream_dims)
        counts = {name: len(self.stream_dims.get(name, [])) for name in ("visual", "audio")}
        if counts["visual"] != 1 or counts["audio"] > 1:
            raise ValueError(f"UniQ4Cap needs one visual feature, and at most one of sound; given: {counts}")
        self.hears = bool(counts["audio"])
        keeps_case = config.network.bert == "cased"
        self.words = CaptionWords(fitted["words"], not keeps_case) if "words" in fitted else uncased_words()

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why a video cannot be used, None if it can: `no_visual`, `no_audio`, `no_caption` (training)."""
        if not item.streams["visual"][0].n_rows:
            return "no_visual"
        if self.hears and self.config.data.missing_audio == "skip" and not item.streams["audio"][0].n_rows:
            return "no_audio"
        return "no_caption" if training and not captions_to_learn(item.annotated, self.config.data) else None

    def units(self, items: Sequence[Item], task: str | None = None) -> list[tuple[int | None, Item]]:
        """Return the videos; to be described where windows of them are wanted, each window with its number."""
        return [(None, item) for item in items] if task is None else [unit for item in items for unit in windows(item)]

    def sample(self, unit: tuple[int | None, Item], rng: random.Random | None) -> dict[str, Any]:
        """Return the tokens of a video or window; with `rng` also one of its captions."""
        number, item = unit
        found: dict[str, Any] = {"place": (item.video_id, number), "video": item.streams["visual"][0].read()}
        if self.hears:
            found["audio"] = item.streams["audio"][0].read().reshape(-1, self.stream_dims["audio"][0])
        if rng is not None:
            for medium in ("video", "audio") if self.hears else ("video",):
                found[medium] = drawn_tokens(found[medium], self.config.data.drop_tokens, rng)
            texts, max_words = captions_to_learn(item.annotated, self.config.data), self.config.data.max_words
            if self.config.stage == "align":
                bag = drawn_bag(texts, rng, self.config.align.bag)
                found["bag"] = [self.words.encode(text, max_words) for text in bag]
            else:
                found["ids"] = self.words.encode(drawn_caption(texts, rng, self.config.data), max_words)
        return found

    def collate(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Return a batch (`samples.collate`), with videos and numbers of windows in `asked`."""
        batch = collate(samples, self.words.ids, self.config.data.max_words)
        return batch | {"asked": [sample["place"] for sample in samples]}

    def _build_network(self) -> Captioner:
        widths = (self.stream_dims["visual"][0], self.stream_dims["audio"][0] if self.hears else 0)
        return Captioner(self.config.network, len(self.words.vocabulary), *widths)

    def network(self, base: Mapping[str, Any] | None = None) -> Captioner:
        """Return the network, started from BERT and BLIP-2 where `base` has them."""
        network, config = self._build_network(), self.config.network
        if base and BLIP2 in base:
            log.info("%s", start_from_published(network, config, base[BERT[config.bert]], base[BLIP2]))
        return network

    def loss(self, network: Any, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the terms `mtc`, `mtm`, `mgm`, of stage align `nce`, `mil_nce`, as far as they are wanted."""
        if self.config.stage == "align":
            return alignment_terms(network, batch, self.config.align)
        return loss_terms(network, batch, self.config.loss)

    @torch.no_grad()
    def predict(self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False) -> list[Caption]:
        """Return one caption per video or window; mode nucleus draws from `generator`."""
        if self.config.stage == "align":
            return self._nearest(network, batch)
        written = write_captions(network, self._pairs(network, batch), self.words.ids, self.config.decoding, generator)
        return [
            Caption("", video_id, window, 0, self.words.text(caption.ids), caption.score)
            for (video_id, window), caption in zip(batch["asked"], written, strict=True)
        ]

    def skip_draws(self, n_units: int, generator: Any, task: str) -> bool:
        """Return False where captions are drawn: how many words, their ends decide."""
        return self.config.stage == "align" or self.config.decoding.mode != "nucleus"

    def _pairs(self, network: Captioner, batch: Batch) -> list[Pair]:
        """Return keys and values of the queries that have looked at the media of a batch, a few samples at a time."""
        look = network.made_of_weights(FoldedBridges).memory if FoldedBridges.pays(network) else network.memory
        media = {name: batch[name] for name in ("video", "audio", "valid_media") if name in batch}
        parts = []
        for start in range(0, len(batch["video"]), MEDIA_AT_ONCE):
            own = {name: tensor[start : start + MEDIA_AT_ONCE] for name, tensor in media.items()}
            parts.append(network.ask_memory(look(**own), len(own["video"])).pairs)
        return [tuple(map(torch.cat, zip(*layer, strict=True))) for layer in zip(*parts, strict=True)]

    def _nearest(self, network: Captioner, batch: Batch) -> list[Caption]:
        """Return the candidate that is nearest to what is seen and heard."""
        texts = self.fitted["candidates"]
        scores = alikeness(network, batch, network.made_of_weights(self._candidate_vectors))
        best = scores.max(dim=1)
        return [
            Caption("", video_id, window, 0, texts[number], score)
            for (video_id, window), number, score in zip(
                batch["asked"], best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]

    def _candidate_vectors(self, network: Captioner) -> Tensor:
        device = network.text_proj.weight.device
        texts = [self.words.encode(text, self.config.data.max_words) for text in self.fitted["candidates"]]
        ids, mask = padded_texts(texts, self.words.ids, self.config.data.max_words)
        parts = zip(ids.split(TEXTS_AT_ONCE), mask.split(TEXTS_AT_ONCE), strict=True)
        return torch.cat([text_vectors(network, *(part.to(device) for part in pair)) for pair in parts])

    def parameter_groups(self, network: Any) -> list[dict[str, Any]]:
        """Return what is decayed and what is not."""
        return optimisation.parameter_groups(network, self.config.train)

    def optimiser(self, groups: list[dict[str, Any]]) -> Any:
        """Return AdamW."""
        return optimisation.optimiser(groups, self.config.train)

    def schedule(self, optimiser: Any, n_steps: int) -> Any:
        """Return a linear rise in the first epoch, then one rate per epoch."""
        return optimisation.schedule(optimiser, n_steps, self.config.train)

    def import_checkpoint(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the network's state dict for a published one, with all its words.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape differs.
        """
        return trained_state(self._build_network(), state)
