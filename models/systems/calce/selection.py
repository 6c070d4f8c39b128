"""What the language model gets to see of one query: which captions, which frames, how many vectors of each."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import BoolTensor, LongTensor, Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from models.systems.calce.captions import Caption, select
from models.systems.calce.compression import compress
from models.systems.calce.config import Config
from models.systems.calce.events import SecondStage, cluster, first_stage_key_frames, second_stage_frames
from models.systems.calce.prompt import layout, text
from models.systems.calce.tokens import bert

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draws:
    """Random numbers of one query.

    Attributes
    ----------
    noises : float (T,) in [0, 1) or None, of the first and second clustering
    generator : of the CPU; chooses frames that are left out
    """

    noises: tuple[Tensor | None, Tensor | None]
    generator: torch.Generator | None

    @classmethod
    def seeded(cls, seed: int, n_frames: int, has_noise: bool) -> "Draws":
        """Return the draws of a seed."""
        generator = torch.Generator().manual_seed(seed)
        noises = [torch.rand(n_frames, generator=generator) if has_noise else None for _ in range(2)]
        return cls((noises[0], noises[1]), generator)


@dataclass(frozen=True)
class Chosen:
    """Prompt of one query.

    Attributes
    ----------
    is_kept, is_key : bool (T,) on the rows' device: frames that are shown, and those of them that are shown in full
    segments : int64 ids of the parts of frames, captions and text, `prompt.VISUAL` for a visual vector
    """

    is_kept: BoolTensor
    is_key: BoolTensor
    segments: tuple[LongTensor, LongTensor, LongTensor]


class Selector:
    """Chooses for one query at a time, by the settings of a stage."""

    def __init__(self, config: Config) -> None:
        self.config = config
        events = config.events
        self.second_stage = SecondStage(
            events.clusters, events.kept_clusters, events.reach, events.filter_reach, events.strict_reference
        )
        self._warned: set[str] = set()

    @torch.no_grad()
    def __call__(self, network: Any, rows: Tensor, means: Tensor, sample: Mapping[str, Any]) -> Chosen:
        """Return what is shown.

        Parameters
        ----------
        network : a `CalceNetwork`
        rows : Q-Former's rows (T, queries, width)
        means : mean normalised token (T, token width)
        sample : of `System.sample`
        """
        key, other = self.frames(rows, means, sample)
        kept = key | other
        n_vectors = torch.where(key, rows.shape[1], self.config.network.short_queries)[kept]
        prompt = layout(
            sample["times_s"][kept],
            n_vectors,
            sample["duration_s"],
            self.captions(network, sample),
            text(sample["query"], sample["items"], sample["windows"]),
        )
        if prompt.is_cut and sample["query_id"] not in self._warned:
            self._warned.add(sample["query_id"])
            log.warning("query %s: its text is too long, the end of the prompt is cut off", sample["query_id"])
        return Chosen(kept.to(rows.device), key.to(rows.device), prompt.ids.split(prompt.lengths))

    def frames(self, rows: Tensor, means: Tensor, sample: Mapping[str, Any]) -> tuple[BoolTensor, BoolTensor]:
        """Return the frames shown in full and those shown in short, bool (T,) each, on the CPU."""
        events, n_frames = self.config.events, len(rows)
        query, duration_s, spans = sample["query"], sample["duration_s"], sample["speech_spans"]
        draws = sample.get("draws") or Draws.seeded(sample["seed"], n_frames, events.density_noise)
        noises = tuple(None if noise is None else noise.to(rows.device) for noise in draws.noises)
        if self.config.stage == 1:
            ids = cluster(means, events.clusters, noises[0], strict_reference=events.strict_reference)
            key = first_stage_key_frames(
                ids, n_frames, duration_s, query, spans, events.reach, events.key_frames, means
            )
            return key, ~key
        key, other = second_stage_frames(
            rows, sample["times_s"], sample["windows"], query, spans, duration_s, self.second_stage, noises
        )
        return compress(key, other, n_frames // 2, draws.generator)

    def captions(self, network: Any, sample: Mapping[str, Any]) -> list[Caption]:
        """Return the captions most similar to the query, the best first."""
        if not sample["captions"]:
            return []
        similarities = self.similarities(network, sample)
        options = self.config.captions
        return select(sample["captions"], similarities, top=options.top, threshold=options.threshold)

    def similarities(self, network: Any, sample: Mapping[str, Any]) -> Tensor:
        """Return the cosine (N,) of every caption to the query by the text branch of the Q-Former."""
        texts = [sample["query"], *(caption.text for caption in sample["captions"])]
        ids = [torch.tensor(bert().ids(part)) for part in texts]
        valid = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
        device = network.query_tokens.device
        vectors = network.sentence_vectors(pad_sequence(ids, batch_first=True).to(device), valid.to(device))
        return F.cosine_similarity(vectors[:1], vectors[1:], dim=1)
