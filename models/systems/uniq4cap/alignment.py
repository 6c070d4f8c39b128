"""Stage 1: pictures and sounds are aligned with captions before a captioner is trained.

The release has none of it, only towers that have been aligned: what the paper's figure names is written out here by our
own rule. The towers are features and stay as they are; what is aligned is everything after them: bridges, Q-Former,
and the widths in which media and texts are compared.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import BoolTensor, LongTensor, Tensor

from models.systems.interface import Item
from models.systems.uniq4cap.config import AlignConfig, Config
from models.systems.uniq4cap.network import Captioner
from models.systems.uniq4cap.samples import captions_to_learn


def nce(media: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Return how badly media and texts find each other, the mean of both directions.

    Parameters
    ----------
    media, texts : unit vectors (N, E), of which equal numbers belong together
    scale : what their products are multiplied by
    """
    logits, own = scale * media @ texts.t(), torch.arange(len(media), device=media.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.t(), own)) / 2


def mil_nce(media: Tensor, bags: Tensor, is_text: BoolTensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return how badly media find one of their texts among all, and bags of texts their medium.

    Parameters
    ----------
    media : unit vectors (N, E)
    bags : unit vectors (N, K, E), the texts of each medium
    is_text : bool (N, K), at least one per medium

    Notes
    -----
    The loss is the mean of both.
    """
    products = scale * torch.einsum("ie,jke->ijk", media, bags)
    products = products.masked_fill(~is_text, -torch.inf)
    together = products.logsumexp(dim=2)
    own = together.diagonal()
    return (products.flatten(1).logsumexp(dim=1) - own).mean(), (together.logsumexp(dim=0) - own).mean()


def alignment_terms(network: Captioner, batch: Mapping[str, Any], config: AlignConfig) -> dict[str, Tensor]:
    """Return the weighted sum `total` and its terms: `nce` of pictures, `mil_nce` of sounds.

    A term of weight 0 is left out, and so is `mil_nce` where nothing is heard in the whole batch.

    Parameters
    ----------
    batch : of `samples.collate`, with bags of captions
    """
    is_text, terms = batch["is_text"], {}
    bags = torch.zeros(*is_text.shape, network.text_proj.out_features, device=is_text.device)
    bags[is_text] = text_vectors(network, batch["bags"][is_text], batch["bags_mask"][is_text]).float()
    scale = 1 / network.temp
    if config.nce:
        seen = media_vectors(network, network.see(batch["video"]), batch["valid_video"])
        terms["nce"] = nce(seen, bags[:, 0], scale)
    has_sound = batch["valid_audio"].any(dim=1) if "audio" in batch else is_text.new_zeros(len(is_text))
    if config.mil_nce and has_sound.any():
        heard = media_vectors(network, network.hear(batch["audio"][has_sound]), batch["valid_audio"][has_sound])
        of_media, of_bags = mil_nce(heard, bags[has_sound], is_text[has_sound], scale)
        terms["mil_nce"] = (of_media + of_bags) / 2
    total = sum((getattr(config, name) * term for name, term in terms.items()), start=0.0 * scale)
    return {"total": total} | terms


def alikeness(network: Captioner, batch: Mapping[str, Any], candidates: Tensor) -> Tensor:
    """Return how alike media and candidates, unit vectors (N, E), are: (B, N), the sum of what is seen and heard."""
    found = media_vectors(network, network.see(batch["video"]), batch["valid_video"]) @ candidates.t()
    if "audio" in batch:
        has_sound = batch["valid_audio"].any(dim=1)
        heard = network.hear(batch["audio"][has_sound])
        found[has_sound] += media_vectors(network, heard, batch["valid_audio"][has_sound]) @ candidates.t()
    return found


def media_vectors(network: Captioner, tokens: Tensor, valid: BoolTensor) -> Tensor:
    """Return one unit vector per medium (B, E), the mean of its queries."""
    return F.normalize(network.compared_media(network.ask(tokens, valid).rows).mean(dim=1), dim=-1)


def text_vectors(network: Captioner, ids: LongTensor, valid: BoolTensor) -> Tensor:
    """Return one unit vector per text (N, E)."""
    return network.compared_texts(network.read(ids, valid))


def chosen_candidates(items: Sequence[Item], config: Config) -> list[str]:
    """Return the captions of training videos that answers are chosen from, each once; of too many the same ones."""
    texts = [text for item in items for text in captions_to_learn(item.annotated, config.data) if text.strip()]
    distinct = list(dict.fromkeys(texts))
    return random.Random(0).sample(distinct, min(config.align.candidates, len(distinct)))
