"""The loss of IMG: location, saliency ranking, distillation and audio importance.

Sizes: B batch, T steps, J saliency pairs. Branches: `av` fused, `v` visual, `a` audio. Source: arXiv 2508.04273 and
HuiGuanLab/IMG.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.systems.img.config import LossConfig

_TINY = 1e-6


def quarter_cosine(epoch: int, n_epochs: int) -> float:
    """Return the warm-up factor 1 - cos(pi epoch / 2 n_epochs), 1 from epoch `n_epochs` (zero-based) on."""
    return 1.0 - math.cos(math.pi * epoch / (2 * n_epochs)) if epoch < n_epochs else 1.0


def location_loss(start_logits: Tensor, end_logits: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Return the cross-entropy of start and end, summed: (B, T), (B, T), int64 (B,), int64 (B,) -> (B,)."""
    start = F.cross_entropy(start_logits, first, reduction="none")
    return start + F.cross_entropy(end_logits, last, reduction="none")


def saliency_loss(scores: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Return each sample's part (B,) of the batch loss of a ranking by margin.

    `scores` (B, T); `positives`, `negatives` int64 (B, J). parity: twice the mean over pairs, already divided by B.
    """
    gaps = margin + scores.gather(1, negatives) - scores.gather(1, positives)
    return F.relu(gaps).sum(1) * (2.0 / positives.numel())


def distillation_loss(student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], temperature: float) -> Tensor:
    """Return T^2 KL(teacher || student) at temperature T over start and end logits, each (B, T): (B,)."""
    total = torch.zeros((), device=student[0].device)
    for student_logits, teacher_logits in zip(student, teacher, strict=True):
        log_q = (student_logits / temperature).log_softmax(1)
        log_p = (teacher_logits.detach() / temperature).log_softmax(1)
        total = total + F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
    return temperature**2 * total


def importance_target(location_v: Tensor, location_a: Tensor, tau: float, theta: float) -> tuple[Tensor, Tensor]:
    """Return the gate (0 or 1) of the audio losses and the target of the audio importance.

    Parameters
    ----------
    location_v, location_a : location losses (B,) of the visual and the audio branch; no gradient flows back
    tau, theta : temperature and threshold

    Notes
    -----
    The sigmoid is the published exp(Lv/tau) / (exp(La/tau) + exp(Lv/tau)) without its overflow.
    """
    target = ((location_v.detach() - location_a.detach()) / tau).sigmoid()
    gate = (target > theta).to(target.dtype)
    target = target * gate
    return gate, torch.where(target > 1.0 - theta, torch.ones_like(target), target)


def loss_terms(
    outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], config: LossConfig, distillation_share: float
) -> dict[str, Tensor]:
    """Compute every term of the loss.

    Parameters
    ----------
    outputs : of the network, all branches
    batch : `first`, `last` int64 (B,), inclusive target steps; `positives`, `negatives` int64 (B, J)
    config : weights and constants
    distillation_share : warm-up factor of the distillation weight, 0 to 1

    Returns
    -------
    dict
        per sample (B,): `location_x`, `saliency_x` for x in av, v, a; `distillation_x` for x in v, a; `gate`,
        `importance_target`; and the scalars `importance` and `total`
    """
    logits = {x: (outputs[f"start_{x}"].float(), outputs[f"end_{x}"].float()) for x in ("av", "v", "a")}
    terms = {f"location_{x}": location_loss(*pair, batch["first"], batch["last"]) for x, pair in logits.items()}
    for x in logits:
        scores = outputs[f"saliency_{x}"].float()
        terms[f"saliency_{x}"] = saliency_loss(scores, batch["positives"], batch["negatives"], config.saliency_margin)
    for x in ("v", "a"):
        terms[f"distillation_{x}"] = distillation_loss(logits[x], logits["av"], config.distillation_temperature)
    gate, target = importance_target(terms["location_v"], terms["location_a"], config.tau, config.theta)
    terms |= {"gate": gate, "importance_target": target}
    with torch.autocast(gate.device.type, enabled=False):
        terms["importance"] = F.binary_cross_entropy(outputs["importance"].float(), target)
    terms["total"] = _total(terms, config, distillation_share)
    return terms


def _total(terms: Mapping[str, Tensor], config: LossConfig, distillation_share: float) -> Tensor:
    gate = terms["gate"]
    n_audio = gate.sum() + _TINY
    location = terms["location_av"].mean() + terms["location_v"].mean() + (gate * terms["location_a"]).sum() / n_audio
    saliency = (gate * terms["saliency_a"]).sum() + terms["saliency_av"].sum() + terms["saliency_v"].sum()
    distillation = (gate * terms["distillation_a"]).sum() / n_audio + terms["distillation_v"].mean()
    return (
        location
        + config.saliency_weight * saliency
        + config.distillation_weight * distillation_share * distillation
        + config.importance_weight * terms["importance"]
    )
