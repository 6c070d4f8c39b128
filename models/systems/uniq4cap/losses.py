"""The three losses: media and texts find each other, pairs are told from wrong ones, captions are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import BoolTensor, LongTensor, Tensor

from models.layers.qformer import Memory
from models.systems.uniq4cap.config import LossConfig
from models.systems.uniq4cap.network import Captioner

IGNORED = -100
NEVER = -10000.0
"""Similarity of what must not be drawn."""


@dataclass(frozen=True)
class Similarities:
    """Float (B, B): of media (rows) and texts, and of texts (rows) and media; the first index is the own one."""

    of_media: Tensor
    of_texts: Tensor


@dataclass(frozen=True)
class Negatives:
    """Int64 (B,): a wrong medium for each text, and a wrong text for each medium."""

    media: LongTensor
    texts: LongTensor


def loss_terms(
    network: Captioner, batch: Mapping[str, Any], config: LossConfig, negatives: Negatives | None = None
) -> dict[str, Tensor]:
    """Return the weighted sum `total` and its terms `mtc`, `mtm`, `mgm`, those of weight 0 left out.

    `mtm` is left out too where every text of the batch is right for every medium.

    Parameters
    ----------
    batch : of `samples.collate`, with texts
    negatives : instead of those that are drawn from torch's global generator

    Notes
    -----
    `mgm` and `mtc` share one pass of the queries, and its dropout.
    """
    asked = network.ask(network.media(batch["video"], batch.get("audio")), batch.get("valid_media"))
    ids, valid, terms = batch["ids"], batch["ids_mask"], {}
    if config.mtc or config.mtm:
        found = similarities(network, asked.rows, ids, valid)
        if config.mtc:
            terms["mtc"] = contrast(found, config.label_smoothing)
        excluded = None if config.same_caption_negatives else equal_texts(ids)
        if config.mtm and len(ids) > 1 and (excluded is None or not excluded.all()):
            drawn = negatives or draw_negatives(found, excluded)
            terms["mtm"] = matching(matching_logits(network, asked.memory, ids, valid, drawn))
    if config.mgm:
        decoder_ids = ids.clone()
        decoder_ids[:, 0] = batch["start_writing"]
        logits = network.write(asked.pairs, decoder_ids, valid)
        terms["mgm"] = writing(logits, decoder_ids.masked_fill(~valid, IGNORED), config.label_smoothing)
    return {"total": sum(getattr(config, name) * term for name, term in terms.items())} | terms


def similarities(network: Captioner, rows: Tensor, ids: LongTensor, valid: BoolTensor) -> Similarities:
    """Return how alike media and texts are: the best of a medium's queries counts, divided by the temperature."""
    media, texts = network.compared_media(rows), network.compared_texts(network.read(ids, valid))
    alike = torch.einsum("iqd,jd->ijq", media, texts).amax(dim=2) / network.temp
    return Similarities(alike, alike.t())


def contrast(found: Similarities, label_smoothing: float) -> Tensor:
    """Return the mean of both cross-entropies."""
    own = torch.arange(len(found.of_media), device=found.of_media.device)
    losses = [F.cross_entropy(s, own, label_smoothing=label_smoothing) for s in (found.of_media, found.of_texts)]
    return (losses[0] + losses[1]) / 2


def equal_texts(ids: LongTensor) -> BoolTensor:
    """Return which texts (B, L) are equal, bool (B, B)."""
    return (ids[:, None] == ids).all(dim=2)


def negative_weights(similarity: Tensor, excluded: BoolTensor | None = None) -> Tensor:
    """Return chances (B, B) of being drawn as the wrong one of each row; those of the own one are 0."""
    own = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    return similarity.detach().float().masked_fill(own if excluded is None else own | excluded, NEVER).softmax(dim=1)


def draw_negatives(found: Similarities, excluded: BoolTensor | None = None) -> Negatives:
    """Draw the more alike the likelier; all media first, then texts. `excluded` (B, B) are pairs that are right."""
    media, texts = (
        torch.multinomial(negative_weights(similarity, excluded), 1)[:, 0]
        for similarity in (found.of_texts, found.of_media)
    )
    return Negatives(media, texts)


def matching_logits(
    network: Captioner, memory: Memory, ids: LongTensor, valid: BoolTensor, negatives: Negatives
) -> Tensor:
    """Return scores (3 B, 2): of the pairs, of wrong media with each text, of each medium with wrong texts."""
    own = torch.arange(len(ids), device=ids.device)
    media, texts = torch.cat([own, negatives.media, own]), torch.cat([own, own, negatives.texts])
    return network.match(memory.of(media), ids[texts], valid[texts])


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
