"""MRNet: scores every candidate moment of a video for every query.

Source: xian-sh/MRNet (ACM MM 2024). Modules carry the names of the published checkpoints.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout
from models.systems.mrnet.config import NetworkConfig
from models.systems.mrnet.proposals import CandidateFeatures, ProposalConv
from models.systems.mrnet.retention import RetentionTransformer

IOU_SCALE = 10.0


class ClipPool(nn.Module):
    """Projects the rows of a video and averages them to clips."""

    def __init__(self, input_dim: int, config: NetworkConfig) -> None:
        super().__init__()
        self.conv = nn.Conv1d(input_dim, config.feature_dim, 1)
        self.kernel, self.stride = config.pool_kernel, config.pre_clips // config.clips

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (B, P, D) to clips (B, feature_dim, N)."""
        return F.avg_pool1d(F.relu(self.conv(rows.transpose(1, 2))), self.kernel, self.stride)


class NormedLinear(nn.Module):
    """Layer norm, dropout, linear map."""

    def __init__(self, dim_in: int, dim_out: int, dropout: float) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(dim_in)
        self.net = nn.Sequential(Dropout(dropout), nn.Linear(dim_in, dim_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., dim_in) to (..., dim_out)."""
        return self.net(self.LayerNorm(x))


class TextEncoder(nn.Module):
    """Projects query vectors; `fc_out1` lies in the checkpoints and is not used."""

    def __init__(self, text_dim: int, dim: int) -> None:
        super().__init__()
        self.fc_out1 = nn.Linear(text_dim, dim)
        self.fc_out2 = nn.Linear(text_dim, dim)

    def forward(self, queries: Tensor) -> Tensor:
        """Map (..., text_dim) to (..., dim)."""
        return self.fc_out2(queries)


class TextOut(nn.Module):
    """Maps queries into the IoU space; `fc_out2` and `layernorm` lie in the checkpoints and are not used."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc_out1 = nn.Linear(dim, dim)
        self.fc_out2 = nn.Linear(dim, dim)
        self.layernorm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor) -> Tensor:
        """Map (..., dim) to (..., dim)."""
        return self.fc_out1(queries)


class MrnetNetwork(nn.Module):
    """The whole network.

    Parameters
    ----------
    config : sizes
    visual_dim, text_dim : widths of the inputs
    """

    def __init__(self, config: NetworkConfig, visual_dim: int, text_dim: int) -> None:
        super().__init__()
        dim, dropout = config.dim, config.input_dropout
        self.featpool = ClipPool(visual_dim, config)
        self.input_vid_proj = nn.Sequential(
            NormedLinear(config.feature_dim, dim, dropout), NormedLinear(dim, dim, dropout)
        )
        self.text_encoder = TextEncoder(text_dim, dim)
        if config.retention.layers:
            self.trans_ret = RetentionTransformer(dim, config.clips, config.retention)
        self.skips_transformer = config.retention.skip or not config.retention.layers
        self.feat2d = CandidateFeatures(config)
        self.proposal_conv = ProposalConv(config)
        self.text_out = TextOut(dim)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Score the candidates of B videos for all their queries.

        Parameters
        ----------
        batch : `rows` float (B, P, D); `queries` float (B, K, text_dim), zero padded; `n_queries` (B,)

        Returns
        -------
        dict
            `contrastive` (S, C), cosine, S = all queries of all videos in turn; `iou_logits` (S, C), the logits of the
            IoU score; `queries` (S, dim) and `candidates` (B, C, dim), unit vectors of the contrastive space; `density`
            (), sum of the layers' learned masks.
        """
        n_queries = batch["n_queries"]
        video = self.clips(batch["rows"])
        text = self.text_encoder(batch["queries"])
        density = video.new_zeros(())
        if not self.skips_transformer:
            text, video, density = self.trans_ret(text, video, n_queries)
        proposals = self.proposal_conv(self.feat2d(video), self.feat2d.background)
        contrastive, iou = (F.normalize(x, dim=-1) for x in proposals)
        queries = F.normalize(text, dim=-1)
        iou_queries = F.normalize(self.text_out(text), dim=-1)
        is_real = real_queries(n_queries, text.shape[1])
        return {
            "contrastive": (queries @ contrastive.transpose(1, 2))[is_real],
            "iou_logits": IOU_SCALE * (iou_queries @ iou.transpose(1, 2))[is_real],
            "queries": queries[is_real],
            "candidates": contrastive,
            "density": density,
        }

    def clips(self, rows: Tensor) -> Tensor:
        """Map rows (B, P, D) to clips (B, N, dim)."""
        first, second = self.input_vid_proj
        return second(F.relu(first(self.featpool(rows).transpose(1, 2))))


def real_queries(n_queries: Tensor, n_max: int) -> Tensor:
    """Return bool (B, n_max), True where a video has a query."""
    return torch.arange(n_max, device=n_queries.device) < n_queries[:, None]
