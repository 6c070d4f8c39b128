"""From clips to candidate moments: the features of every candidate, and the convolution over their map.

Source: xian-sh/MRNet, after microsoft/2D-TAN.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.systems.mrnet.candidates import candidate_cells, offsets
from models.systems.mrnet.config import NetworkConfig
from models.systems.mrnet.tiled_conv import TiledConv, lay_tiles


class CandidateFeatures(nn.Module):
    """Features of every candidate: its content, max-pooled or convolved, and on request its first and last clip."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.form, self.steps = config.proposals, offsets(config.pooling_counts)
        if self.form.startswith("conv"):
            self.convs = nn.ModuleList(
                nn.Conv1d(config.dim, config.dim, 3, 2) if is_coarser else nn.Conv1d(config.dim, config.dim, 2)
                for _, _, is_coarser in self.steps
            )
        if self.form.endswith("_c"):
            self.vis_conv = nn.Conv2d(3 * config.dim, config.dim, 1)
        cells = candidate_cells(config.clips, tuple(config.pooling_counts))
        self.register_buffer("first", torch.from_numpy(cells[:, 0].copy()), persistent=False)
        self.register_buffer("last", torch.from_numpy(cells[:, 1].copy()), persistent=False)
        place = {cell: index for index, cell in enumerate(map(tuple, cells.tolist()))}
        pooled = [(i, i) for i in range(config.clips)]
        for offset, stride, _ in self.steps:
            pooled += [(i, i + offset) for i in range(0, config.clips - offset, stride)]
        order = np.argsort([place[cell] for cell in pooled])
        self.register_buffer("order", torch.from_numpy(order), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (B, N, dim) to candidates (B, C, dim), in the order of `candidate_cells`."""
        content = self._content(clips)
        if self.form.endswith("_b"):
            ends = clips[:, self.first] + clips[:, self.last]
            return content + ends * (self.first != self.last)[:, None]
        if self.form.endswith("_c"):
            joined = torch.cat((clips[:, self.first], content, clips[:, self.last]), dim=2)
            return F.linear(joined, self.vis_conv.weight[:, :, 0, 0], self.vis_conv.bias)
        return content

    @property
    def background(self) -> Tensor | None:
        """What every other cell of the map holds, (dim,); None for zeros."""
        # parity: the map is projected as a whole, so that the bias fills cells that are no candidates.
        return self.vis_conv.bias if self.form.endswith("_c") else None

    def _content(self, clips: Tensor) -> Tensor:
        if self.form == "conv_b":
            # parity: the published convolution is computed and thrown away, only candidates of one clip have content.
            return clips[:, self.first] * (self.first == self.last)[:, None]
        x = clips.transpose(1, 2)
        parts = [x]
        for k, (_, _, is_coarser) in enumerate(self.steps):
            if self.form.startswith("conv"):
                x = self.convs[k](x)
            else:
                x = F.max_pool1d(x, 3, 2) if is_coarser else F.max_pool1d(x, 2, 1)
            parts.append(x)
        return torch.cat(parts, dim=2)[:, :, self.order].transpose(1, 2)


def count_weights(mask: np.ndarray, kernel: int, paddings: list[int]) -> list[np.ndarray]:
    """Return for every layer of a convolution 1 / number of filled cells under the kernel, 0 for none (h, w).

    Parameters
    ----------
    mask : bool (N, N), the cells filled at first; a cell of a later layer is filled if one under its kernel was
    """
    weights, filled = [], mask
    for padding in paddings:
        table = np.pad(np.pad(filled.astype(np.int64), padding).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        counts = (
            table[kernel:, kernel:] - table[:-kernel, kernel:] - table[kernel:, :-kernel] + table[:-kernel, :-kernel]
        )
        filled = counts > 0
        weights.append((filled / np.maximum(counts, 1)).astype(np.float32))
    return weights


class ProposalConv(nn.Module):
    """Stack of convolutions over the map of candidates; every output is divided by the cells that it has seen."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        kernel, layers = config.conv_kernel, config.conv_layers
        self.n_clips = config.clips
        widths = [config.dim] + [config.conv_dim] * layers
        paddings = [(kernel - 1) * layers // 2] + [0] * (layers - 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(widths[c], widths[c + 1], kernel, padding=paddings[c]) for c in range(layers)
        )
        self.bn = nn.ModuleList(nn.BatchNorm2d(config.conv_dim) for _ in range(layers))
        self.conv1x1_iou = nn.Conv2d(config.conv_dim, config.dim, 1)
        self.conv1x1_contrastive = nn.Conv2d(config.conv_dim, config.dim, 1)
        cells = candidate_cells(config.clips, tuple(config.pooling_counts))
        mask = np.zeros((config.clips, config.clips), dtype=bool)
        mask[tuple(cells.T)] = True
        self.register_buffer("first", torch.from_numpy(cells[:, 0].copy()), persistent=False)
        self.register_buffer("last", torch.from_numpy(cells[:, 1].copy()), persistent=False)
        self.path = config.used_conv_path
        weights = count_weights(mask, kernel, paddings)
        for c, weight in enumerate(weights):
            self.register_buffer(f"weight_{c}", torch.from_numpy(weight), persistent=False)
        if self.path != "dense":
            self._plan(mask, weights, paddings)

    def _plan(self, mask: np.ndarray, weights: list[np.ndarray], paddings: list[int]) -> None:
        """Set the cells of every layer: while training all filled ones (batch norm sees them), else those needed."""
        kernel = self.convs[0].kernel_size[0]
        trained, needed = [weight > 0 for weight in weights], [mask & (weights[-1] > 0)]
        for weight, padding in zip(weights[-2::-1], paddings[:0:-1], strict=True):
            # A cell is needed if a needed output has it under its kernel: the same count, from the other side.
            reach = count_weights(needed[0], kernel, [kernel - 1 - padding])[0] > 0
            needed.insert(0, reach & (weight > 0))
        self.cells = {True: trained, False: needed}
        self.tilings = {
            training: [
                lay_tiles(before, after, kernel, padding)
                for before, after, padding in zip([mask, *cells[:-1]], cells, paddings, strict=True)
            ]
            for training, cells in self.cells.items()
        }

    def forward(self, candidates: Tensor, background: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map candidates (B, C, dim) to their vectors in the contrastive and in the IoU space, (B, C, dim) each.

        `background`: what every other cell holds, (dim,), with the path `dense` only; None for zeros.
        """
        if self.path == "tiled" or (self.path == "auto" and candidates.device.type == "cpu"):
            # Its transforms have the precision of the weights, whatever that of the training.
            with torch.autocast(candidates.device.type, enabled=False):
                x = self.tiled_cells(candidates.to(self.convs[0].weight.dtype))
        else:
            x = self.dense_map(candidates, background)[:, :, self.first, self.last].transpose(1, 2)
        return self._head(self.conv1x1_contrastive, x), self._head(self.conv1x1_iou, x)

    def tiled_cells(self, candidates: Tensor) -> Tensor:
        """Return the output of the last layer at the candidates, (B, C, conv_dim)."""
        x, device = candidates.transpose(0, 1).contiguous(), candidates.device
        for c, (conv, norm) in enumerate(zip(self.convs, self.bn, strict=True)):
            cells, weight = self.cells[self.training][c], getattr(self, f"weight_{c}")
            x = TiledConv.apply(x, conv.weight, self.tilings[self.training][c].to(device)) + conv.bias
            if self.training:
                n_empty = (weight.numel() - len(x)) * x.shape[1]
                x = _normalise(norm, x, conv.bias, n_empty)
            else:
                x = F.batch_norm(x.flatten(0, 1), norm.running_mean, norm.running_var, norm.weight, norm.bias).view_as(
                    x
                )
            x = F.relu(x) * weight[torch.from_numpy(cells).to(device)][:, None, None]
        wanted = self.cells[self.training][-1]
        places = np.cumsum(wanted).reshape(wanted.shape) - 1
        chosen = torch.from_numpy(places).to(device)[self.first, self.last]
        return x[chosen].transpose(0, 1)

    def first_map(self, candidates: Tensor, background: Tensor | None = None) -> Tensor:
        """Return the map that the convolution starts from, (B, dim, N, N)."""
        n, (batch, _, dim) = self.n_clips, candidates.shape
        x = candidates.new_zeros(batch, dim, n, n)
        if background is not None:
            x = x + background[:, None, None]
        x[:, :, self.first, self.last] = candidates.transpose(1, 2)
        return x

    def dense_map(self, candidates: Tensor, background: Tensor | None = None) -> Tensor:
        """Return the output of the last layer on the whole map, (B, conv_dim, N, N)."""
        x = self.first_map(candidates, background)
        for c, (conv, norm) in enumerate(zip(self.convs, self.bn, strict=True)):
            x = F.relu(norm(conv(x))) * getattr(self, f"weight_{c}")
        return x

    @staticmethod
    def _head(conv: nn.Conv2d, x: Tensor) -> Tensor:
        return F.linear(x, conv.weight[:, :, 0, 0], conv.bias)


def _normalise(norm: nn.BatchNorm2d, x: Tensor, empty: Tensor, n_empty: int) -> Tensor:
    """Normalise cells (n, B, C) as a batch norm in training that sees `n_empty` more, all `empty` (C,)."""
    n_filled = x.shape[0] * x.shape[1]
    n = n_filled + n_empty
    mean = (x.sum(dim=(0, 1)) + n_empty * empty) / n
    variance = (((x - mean) ** 2).sum(dim=(0, 1)) + n_empty * (empty - mean) ** 2) / n
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * n / max(1, n - 1), norm.momentum)
    return (x - mean) * (torch.rsqrt(variance + norm.eps) * norm.weight) + norm.bias
