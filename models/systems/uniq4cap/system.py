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

from models.systems import interface
from models.systems.interface import Batch, Caption, Item
from models.systems.uniq4cap import optimisation
from models.systems.uniq4cap.captioning import write_captions
from models.systems.uniq4cap.checkpoint import start_from_published, trained_state
from models.systems.uniq4cap.config import BERT, BLIP2, Config
from models.systems.uniq4cap.losses import loss_terms
from models.systems.uniq4cap.network import Captioner
from models.systems.uniq4cap.samples import captions_to_learn, collate, drawn_caption
from models.systems.uniq4cap.words import CaptionWords, read_vocabulary, uncased_words

log = logging.getLogger(__name__)


class System(interface.System):
    """Implements `models.systems.interface.System`; a unit is a video.

    Streams: `visual` and `audio`, one feature each, whose rows are the tokens of a tower; without `audio` nothing is
    heard.
    """

    @classmethod
    def fit(cls, config: Config, items: Sequence[Item]) -> dict[str, Any]:
        """Return the vocabulary, unless it is the one in the repository.

        Raises
        ------
        ValueError
            If its file does not exist.
        """
        return {"words": read_vocabulary(Path(config.data.vocabulary))} if config.network.bert == "cased" else {}

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
        self.words = CaptionWords(fitted["words"], lowercase=False) if "words" in fitted else uncased_words()

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why a video cannot be used, None if it can: `no_visual`, `no_audio`, `no_caption` (training)."""
        if not len(item.streams["visual"][0].values):
            return "no_visual"
        if self.hears and self.config.data.missing_audio == "skip" and not len(item.streams["audio"][0].values):
            return "no_audio"
        return "no_caption" if training and not captions_to_learn(item.annotated, self.config.data) else None

    def sample(self, unit: Item, rng: random.Random | None) -> dict[str, Any]:
        """Return the tokens of a video; with `rng` also one of its captions."""
        found: dict[str, Any] = {"video_id": unit.video_id, "video": unit.streams["visual"][0].values}
        if self.hears:
            found["audio"] = unit.streams["audio"][0].values.reshape(-1, self.stream_dims["audio"][0])
        if rng is not None:
            text = drawn_caption(captions_to_learn(unit.annotated, self.config.data), rng, self.config.data)
            found["ids"] = self.words.encode(text, self.config.data.max_words)
        return found

    def collate(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Return a batch (`samples.collate`), with the videos' names in `asked`."""
        batch = collate(samples, self.words.ids, self.config.data.max_words)
        return batch | {"asked": [sample["video_id"] for sample in samples]}

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
        """Return the terms `mtc`, `mtm`, `mgm`, as far as they are wanted."""
        return loss_terms(network, batch, self.config.loss)

    @torch.no_grad()
    def predict(self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False) -> list[Caption]:
        """Return one caption per video; mode nucleus draws from `generator`."""
        asked = network.ask(network.media(batch["video"], batch.get("audio")), batch.get("valid_media"))
        written = write_captions(network, asked.pairs, self.words.ids, self.config.decoding, generator)
        return [
            Caption("", video_id, None, 0, self.words.text(caption.ids), caption.score)
            for video_id, caption in zip(batch["asked"], written, strict=True)
        ]

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
