"""Audio-visual fusion of IMG at three granularities, and the recurrent mixing of the three.

Sizes: B batch, T steps, K event slots, D channels. `valid` is float (B, T), 1 at valid steps; `gate` is (B, 1, 1), the
share of audio. Parameter names are those of HuiGuanLab/IMG.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout
from models.systems.img.blocks import (
    CrossAttention,
    GatedFusion,
    PointwiseLinear,
    WeightedPool,
    depthwise_conv,
    mask_bias,
)
from models.systems.img.recurrence import run_packed, run_side_by_side

LOCAL_WIDTHS = (1, 3, 5)


class ConcatLinear(nn.Module):
    """Dropout, then a linear map back to the hidden width."""

    def __init__(self, in_dim: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.conv = PointwiseLinear(in_dim, dim)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, in_dim) to (B, T, D)."""
        return self.conv(self.drop(x))


class LocalFusion(nn.Module):
    """Neighbouring steps: depthwise convolutions of three widths per modality."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        for side in "av":
            convs = nn.ModuleList(nn.Conv1d(dim, dim, w, padding=w // 2, groups=dim) for w in LOCAL_WIDTHS)
            self.add_module(f"conv_block{side}", convs)
            self.add_module(f"downsample{side}", ConcatLinear(len(LOCAL_WIDTHS) * dim, dim, dropout))
        self.fusion = GatedFusion(dim)

    @staticmethod
    def _convolve(x: Tensor, convs: nn.ModuleList) -> Tensor:
        return torch.cat([F.relu(depthwise_conv(x, conv.weight, conv.bias)) for conv in convs], dim=2)

    def forward(self, visual: Tensor, audio: Tensor, gate: Tensor, conv_mask: Tensor | None) -> Tensor:
        """Fuse two (B, T, D) sequences; `conv_mask` (B, T, 1) hides the padding from the convolutions."""
        if conv_mask is not None:
            visual, audio = visual * conv_mask, audio * conv_mask
        a = self.downsamplea(self._convolve(audio, self.conv_blocka))
        v = self.downsamplev(self._convolve(visual, self.conv_blockv))
        return self.fusion(v, a, gate)


class SlotAttention(nn.Module):
    """Event slots that gather the steps of a sequence.

    Differs from the usual slot attention: the softmax runs over the steps, so slots do not compete, and the weights
    are not renormalised.
    """

    def __init__(self, dim: int, n_rounds: int) -> None:
        super().__init__()
        self.n_rounds = n_rounds
        self.slots_mu = nn.Parameter(torch.empty(1, 1, dim))
        self.slots_logsigma = nn.Parameter(torch.empty(1, 1, dim))
        self.to_q = PointwiseLinear(dim, dim)
        self.to_k = PointwiseLinear(dim, dim)
        self.to_v = PointwiseLinear(dim, dim)
        self.gru = nn.GRUCell(dim, dim)
        self.mlp = nn.Sequential(PointwiseLinear(dim, dim), nn.ReLU(), PointwiseLinear(dim, dim))
        # Default epsilon, unlike every other layer norm of the network.
        self.norm_input = nn.LayerNorm(dim)
        self.norm_slots = nn.LayerNorm(dim)
        self.norm_pre_ff = nn.LayerNorm(dim)

    def forward(self, x: Tensor, valid: Tensor, noise: Tensor) -> Tensor:
        """Summarise `x` (B, T, D) in slots (B, K, D) that start from `noise` (B, K, D), a standard-normal draw."""
        slots = self.slots_mu + self.slots_logsigma.exp() * noise
        x = self.norm_input(x)
        keys, values = self.to_k(x), self.to_v(x)
        bias = mask_bias(valid)[:, None]
        for _ in range(self.n_rounds):
            queries = self.to_q(self.norm_slots(slots))
            logits = queries @ keys.transpose(1, 2) * keys.shape[2] ** -0.5
            updates = (logits + bias).softmax(2) @ values
            state = self.gru(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
            slots = state + self.mlp(self.norm_pre_ff(state))
        return slots


class EventFusion(nn.Module):
    """Events: every step attends to the event slots of its modality."""

    def __init__(self, dim: int, n_heads: int, n_rounds: int, dropout: float) -> None:
        super().__init__()
        self.slot_attentiona = SlotAttention(dim, n_rounds)
        self.slot_attentionv = SlotAttention(dim, n_rounds)
        self.cross_transformer_a = CrossAttention(dim, n_heads, dropout)
        self.cross_transformer_v = CrossAttention(dim, n_heads, dropout)
        self.fusion = GatedFusion(dim)

    def forward(
        self, visual: Tensor, audio: Tensor, gate: Tensor, valid: Tensor, slot_noise: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Fuse two (B, T, D) sequences; `slot_noise`: draws (B, K, D) for audio and for visual."""
        slots_a = self.slot_attentiona(audio, valid, slot_noise[0])
        slots_v = self.slot_attentionv(visual, valid, slot_noise[1])
        a = self.cross_transformer_a(audio, slots_a, valid)
        v = self.cross_transformer_v(visual, slots_v, valid)
        return self.fusion(v, a, gate)


class GlobalFusion(nn.Module):
    """The whole video: every step next to the pooled sequence of its modality."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.global_audio = WeightedPool(dim)
        self.global_video = WeightedPool(dim)
        self.downsamplea = ConcatLinear(2 * dim, dim, dropout)
        self.downsamplev = ConcatLinear(2 * dim, dim, dropout)
        self.fusion = GatedFusion(dim)

    def forward(self, visual: Tensor, audio: Tensor, gate: Tensor, valid: Tensor) -> Tensor:
        """Fuse two (B, T, D) sequences."""
        pooled_a = self.global_audio(audio, valid)[:, None].expand_as(audio)
        pooled_v = self.global_video(visual, valid)[:, None].expand_as(visual)
        a = self.downsamplea(torch.cat([pooled_a, audio], dim=2))
        v = self.downsamplev(torch.cat([pooled_v, visual], dim=2))
        return self.fusion(v, a, gate)


class RecurrentFusion(nn.Module):
    """Mixes the three granularities pairwise with bidirectional GRUs, then all together with a fourth."""

    def __init__(self, dim: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        for i in (1, 2, 3):
            gru = nn.GRU(2 * dim, dim // 2, n_layers, batch_first=True, bidirectional=True)
            self.add_module(f"rnn{i}", gru)
        self.rnn123 = nn.GRU(3 * dim, dim, 1, batch_first=True, bidirectional=True)
        self.fusion = ConcatLinear(2 * dim, dim, dropout)

    def forward(self, local: Tensor, event: Tensor, overall: Tensor, n_steps: list[int]) -> Tensor:
        """Mix three (B, T, D) sequences with `n_steps` valid steps each; outputs of the GRUs are 0 at padding."""
        lengths = torch.tensor(n_steps)
        pairs = [torch.cat(pair, dim=2) for pair in ((local, event), (event, overall), (local, overall))]
        run = run_packed if local.is_cuda else run_side_by_side
        mixed = run([self.rnn1, self.rnn2, self.rnn3], torch.stack(pairs), lengths)
        mixed = mixed.permute(1, 2, 0, 3).flatten(2)
        return self.fusion(run([self.rnn123], mixed[None], lengths)[0])
