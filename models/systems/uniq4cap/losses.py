"""The three losses: media and texts find each other, pairs are told from wrong ones, captions are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import BoolTensor, LongTensor, Tensor

from models.layers.qformer import Memory, joined
from models.systems.uniq4cap.config import LossConfig
from models.systems.uniq4cap.gathering import Batches, is_shared
from models.systems.uniq4cap.network import Captioner

IGNORED = -100
NEVER = -10000.0
"""Similarity of what must not be drawn."""


@dataclass(frozen=True)
class Similarities:
    """How alike the B samples of a batch and N samples, its own among them, are.

    Attributes
    ----------
    of_media, of_texts : float (B, N), of media (rows) and texts, and of texts (rows) and media
    first : which of the N is the batch's first
    """

    of_media: Tensor
    of_texts: Tensor
    first: int = 0

    @property
    def own(self) -> LongTensor:
        """Return which of the N is the own one of each row, int64 (B,)."""
        return self.first + torch.arange(len(self.of_media), device=self.of_media.device)


@dataclass(frozen=True)
class Negatives:
    """Int64 (B,): a wrong medium for each text, and a wrong text for each medium, of all N."""

    media: LongTensor
    texts: LongTensor


@dataclass(frozen=True)
class Choice:
    """What wrong media and texts are drawn from.

    Attributes
    ----------
    ids, valid : texts (N, L), and where they have words
    media, valid_media : tokens (N, M, media width), and which of them count; None: the media of the batch itself
    """

    ids: LongTensor
    valid: BoolTensor
    media: Tensor | None = None
    valid_media: BoolTensor | None = None


def loss_terms(
    network: Captioner, batch: Mapping[str, Any], config: LossConfig, negatives: Negatives | None = None
) -> dict[str, Tensor]:
    """Return the weighted sum `total` and its terms `mtc`, `mtm`, `mgm`, those of weight 0 left out.

    `mtm` is left out too where every text is right for every medium.

    Parameters
    ----------
    batch : of `samples.collate`, with texts
    negatives : instead of those that are drawn from torch's global generator

    Notes
    -----
    `mgm` and `mtc` share one pass of the queries, and its dropout.
    """
    media = network.media(batch["video"], batch.get("audio"))
    asked = network.ask(media, batch.get("valid_media"))
    ids, valid, terms = batch["ids"], batch["ids_mask"], {}
    if config.mtc or config.mtm:
        # Outside training one process asks alone.
        is_gathered = config.gather != "none" and network.training and is_shared()
        batches = Batches(len(ids), ids.device, config.gather == "gradients") if is_gathered else None
        found = similarities(network, asked.rows, ids, valid, batches)
        if config.mtc:
            terms["mtc"] = contrast(found, config.label_smoothing)
        choice = Choice(ids, valid) if batches is None else _gathered_choice(batch, media)
        excluded = None if config.same_caption_negatives else equal_texts(ids, choice.ids)
        if config.mtm and len(choice.ids) > 1 and (excluded is None or not excluded.all()):
            drawn = negatives or draw_negatives(found, excluded)
            terms["mtm"] = matching(matching_logits(network, asked.memory, ids, valid, drawn, choice))
    if config.mgm:
        decoder_ids = ids.clone()
        decoder_ids[:, 0] = batch["start_writing"]
        logits = network.write(asked.pairs, decoder_ids, valid)
        terms["mgm"] = writing(logits, decoder_ids.masked_fill(~valid, IGNORED), config.label_smoothing)
    return {"total": sum(getattr(config, name) * term for name, term in terms.items())} | terms


def _gathered_choice(batch: Mapping[str, Any], media: Tensor) -> Choice:
    # As published, media are gathered with their gradients for mtm whatever mtc does.
    batches = Batches(len(media), media.device, keep_gradient=True)
    valid_media = torch.cat([batch[name] for name in ("valid_video", "valid_audio") if name in batch], dim=1)
    return Choice(*map(batches.all, (batch["ids"], batch["ids_mask"], media, valid_media)))


def similarities(
    network: Captioner, rows: Tensor, ids: LongTensor, valid: BoolTensor, batches: Batches | None = None
) -> Similarities:
    """Return how alike media and texts are: the best of a medium's queries counts, divided by the temperature.

    `batches`: of all processes; None: of this one alone.
    """
    media, texts = network.compared_media(rows), network.compared_texts(network.read(ids, valid))
    if batches is None:
        alike = _alike(media, texts) / network.temp
        return Similarities(alike, alike.t())
    of_media, of_texts = _alike(media, batches.all(texts)), _alike(batches.all(media), texts).t()
    return Similarities(of_media / network.temp, of_texts / network.temp, batches.first)


def _alike(media: Tensor, texts: Tensor) -> Tensor:
    return torch.einsum("iqd,jd->ijq", media, texts).amax(dim=2)


def contrast(found: Similarities, label_smoothing: float) -> Tensor:
    """Return the mean of both cross-entropies."""
    losses = [F.cross_entropy(s, found.own, label_smoothing=label_smoothing) for s in (found.of_media, found.of_texts)]
    return (losses[0] + losses[1]) / 2


def equal_texts(ids: LongTensor, others: LongTensor) -> BoolTensor:
    """Return which texts (B, L) are equal to which (N, L), bool (B, N)."""
    return (ids[:, None] == others).all(dim=2)


def negative_weights(similarity: Tensor, own: LongTensor, excluded: BoolTensor | None = None) -> Tensor:
    """Return chances (B, N) of being drawn as the wrong one of each row; those of the own one are 0."""
    is_out = torch.zeros_like(similarity, dtype=torch.bool).scatter(1, own[:, None], True)
    is_out = is_out if excluded is None else is_out | excluded
    return similarity.detach().float().masked_fill(is_out, NEVER).softmax(dim=1)


def draw_negatives(found: Similarities, excluded: BoolTensor | None = None) -> Negatives:
    """Draw the more alike the likelier; all media first, then texts. `excluded` (B, N) are pairs that are right."""
    media, texts = (
        torch.multinomial(negative_weights(similarity, found.own, excluded), 1)[:, 0]
        for similarity in (found.of_texts, found.of_media)
    )
    return Negatives(media, texts)


def matching_logits(
    network: Captioner, memory: Memory, ids: LongTensor, valid: BoolTensor, negatives: Negatives, choice: Choice
) -> Tensor:
    """Return scores (3 B, 2): of the pairs, of wrong media with each text, of each medium with wrong texts."""
    if choice.media is None:
        wrong = memory.of(negatives.media)
    else:
        wrong = network.Qformer.bert.read(choice.media[negatives.media], choice.valid_media[negatives.media])
    texts, masks = choice.ids[negatives.texts], choice.valid[negatives.texts]
    return network.match(
        joined([memory, wrong, memory]), torch.cat([ids, ids, texts]), torch.cat([valid, valid, masks])
    )


def matching(logits: Tensor) -> Tensor:
    """Return the cross-entropy of scores (3 B, 2), of which the first third are right pairs."""
    is_right = torch.arange(len(logits), device=logits.device) < len(logits) // 3
    return F.cross_entropy(logits, is_right.long())


def writing(logits: Tensor, labels: LongTensor, label_smoothing: float) -> Tensor:
    """Return the cross-entropy of the next words; labels (B, L) start with what the caption starts with."""
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1),
        labels[:, 1:].flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )
