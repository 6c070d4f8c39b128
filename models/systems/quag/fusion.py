"""From rows of video and speech, and a query, to fused rows: QUAG's way."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout
from models.systems.quag.attention import Attention
from models.systems.quag.packing import Chosen, Packing, Runs


class Align(nn.Module):
    """Lets video and speech see one another, by one attention for both directions."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.dropout1 = Dropout(dropout)

    def forward(
        self, video: Tensor, speech: Tensor, video_runs: Runs, speech_runs: Runs, packing: Packing
    ) -> tuple[Tensor, Tensor]:
        """Map runs (M, width) of both to rows (N, width) of both, each from the other's old ones."""
        of_video = video_runs.spread(self.attention.project(video)).chunk(3, dim=-1)
        of_speech = speech_runs.spread(self.attention.project(speech)).chunk(3, dim=-1)
        from_speech = self.attention.see(of_video[0], *of_speech[1:], packing)
        from_video = self.attention.see(of_speech[0], *of_video[1:], packing)
        return (
            self.norm1(video_runs.spread(video) + self.dropout1(from_speech)),
            self.norm1(speech_runs.spread(speech) + self.dropout1(from_video)),
        )


class QueryFilter(nn.Module):
    """Weighs channels and rows by the query, and adds what rows see of one another."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.fc1 = nn.Linear(2 * width, width)
        self.att_ch_fc = nn.Linear(width, width)
        self.att_tp_fc = nn.Linear(1, 1)
        self.mh_att = Attention(width, heads, bias=False)
        self.dp = Dropout(dropout)
        self.fc2 = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: Tensor, query: Tensor, packing: Packing) -> Tensor:
        """Map rows (N, width) and a query vector per sample (B, width) to rows (N, width)."""
        # The query's half of the projection is the same for all rows of a sample.
        own, asked = self.fc1.weight.tensor_split([self.width], dim=1)
        joined = F.linear(rows, own, self.fc1.bias) + packing.spread(F.linear(query, asked))
        channels = packing.spread(torch.sigmoid(self.att_ch_fc(packing.means(joined))))
        moments = torch.sigmoid(self.att_tp_fc(joined.mean(-1, keepdim=True)))
        seen = self.norm(joined + self.dp(self.mh_att(self.mh_att.project(joined), packing)))
        return channels * moments * rows + self.fc2(seen)


class Block(nn.Module):
    """Attention and feed-forward part, each followed by a layer norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout1, self.dropout2, self.dropout3 = (Dropout(dropout) for _ in range(3))
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self, rows: Tensor, packing: Packing, chosen: Chosen | None = None, projected: Tensor | None = None
    ) -> Tensor:
        """Map rows (N, width) to rows (N, width), or to the chosen ones only, (n, width).

        `projected` : `attention.project(rows)`, if it is known and no rows are chosen
        """
        if chosen is None:
            seen = self.attention(self.attention.project(rows) if projected is None else projected, packing)
        else:
            chosen_rows = rows.index_select(0, chosen.places)
            seen = self.attention.of_chosen(rows, chosen_rows, packing, chosen.counts)
            rows = chosen_rows
        rows = self.norm1(rows + self.dropout1(seen))
        hidden = self.linear2(self.dropout2(F.relu(self.linear1(rows))))
        return self.norm2(rows + self.dropout3(hidden))
