"""QUAG and the HiREST baseline once more, as plainly as their description reads: torch's own layers, and loops.

Modules have the published names, so that both forms read the same state dict.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.systems.quag.config import Config, NetworkConfig

LARGEST = torch.finfo(torch.float32).max


class PlainAlign(nn.Module):
    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(c.width, c.heads, c.dropout)
        self.norm1, self.dropout1 = nn.LayerNorm(c.width), nn.Dropout(c.dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.norm1(x + self.dropout1(self.attention(x, y, y)[0]))


class PlainFilter(nn.Module):
    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(2 * c.width, c.width), nn.Linear(c.width, c.width)
        self.att_ch_fc, self.att_tp_fc = nn.Linear(c.width, c.width), nn.Linear(1, 1)
        self.mh_att = nn.MultiheadAttention(c.width, c.heads, bias=False)
        self.dp, self.norm = nn.Dropout(c.dropout), nn.LayerNorm(c.width)

    def forward(self, f: Tensor, t: Tensor) -> Tensor:
        x = self.fc1(torch.cat([f, t[:, None].repeat(1, f.shape[1], 1)], dim=-1))
        channels = torch.sigmoid(self.att_ch_fc(x.mean(1, keepdim=True)))
        times = torch.sigmoid(self.att_tp_fc(x.mean(2, keepdim=True)))
        rows = x.transpose(0, 1)
        seen = self.fc2(self.norm(rows + self.dp(self.mh_att(rows, rows, rows)[0])))
        return channels * times * f + seen.transpose(0, 1)


class PlainBlock(nn.Module):
    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(c.width, c.heads, c.dropout)
        self.norm1, self.norm2 = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(c.dropout) for _ in range(3))
        self.linear1, self.linear2 = nn.Linear(c.width, 4 * c.width), nn.Linear(4 * c.width, c.width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout1(self.attention(x, x, x)[0]))
        return self.norm2(x + self.dropout3(self.linear2(self.dropout2(torch.relu(self.linear1(x))))))


class PlainAttention(nn.Module):
    """BERT's, with a mask that is added to the scores."""

    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        self.heads = c.heads
        self.query, self.key, self.value = (nn.Linear(c.width, c.width) for _ in range(3))
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            part.view(*part.shape[:2], self.heads, -1).transpose(1, 2)
            for part in (self.query(x), self.key(y), self.value(y))
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]) + mask
        return (self.dropout(scores.softmax(-1)) @ v).transpose(1, 2).flatten(2)


class PlainOutput(nn.Module):
    def __init__(self, width_in: int, c: NetworkConfig) -> None:
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(width_in, c.width), nn.LayerNorm(c.width, eps=1e-12)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor, around: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + around)


def plain_feed_forward(module: nn.Module, c: NetworkConfig) -> None:
    module.intermediate = nn.ModuleDict({"dense": nn.Linear(c.width, c.ffn_dim)})
    module.output = PlainOutput(c.ffn_dim, c)


class PlainRowLayer(nn.Module):
    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": PlainAttention(c), "output": PlainOutput(c.width, c)})
        plain_feed_forward(self, c)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, x, mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class PlainWordLayer(nn.Module):
    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        for name in ("slf_attn", "enc_attn"):
            setattr(self, name, nn.ModuleDict({"att": PlainAttention(c), "output": PlainOutput(c.width, c)}))
        plain_feed_forward(self, c)

    def forward(self, x: Tensor, rows: Tensor, mask: Tensor, row_mask: Tensor) -> Tensor:
        x = self.slf_attn["output"](self.slf_attn["att"](x, x, mask), x)
        x = self.enc_attn["output"](self.enc_attn["att"](x, rows, row_mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


def plain_embeddings(words: nn.Module, n_positions: int, c: NetworkConfig) -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "word_embeddings": words,
            "position_embeddings": nn.Embedding(n_positions, c.width),
            "LayerNorm": nn.LayerNorm(c.width, eps=1e-12),
        }
    )


class PlainClip4Caption(nn.Module):
    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        norm = nn.LayerNorm(c.inner_width, eps=1e-12)
        self.normalize_video = nn.ModuleDict({"visual_norm2d": norm})
        self.visual = nn.ModuleDict(
            {
                "embeddings": plain_embeddings(nn.Linear(c.fusion_width, c.width), 2048, c),
                "encoder": nn.ModuleDict({"layer": nn.ModuleList(PlainRowLayer(c) for _ in range(c.layers))}),
                "pooler": nn.ModuleDict({"dense": nn.Linear(c.width, c.width)}),
            }
        )
        words = nn.Embedding(c.vocabulary, c.width)
        predictions = nn.Module()
        predictions.transform = nn.ModuleDict(
            {"dense": nn.Linear(c.width, c.width), "LayerNorm": nn.LayerNorm(c.width, eps=1e-12)}
        )
        predictions.decoder = nn.Linear(c.width, c.vocabulary, bias=False)
        predictions.decoder.weight = words.weight
        predictions.bias = nn.Parameter(torch.zeros(c.vocabulary))
        self.decoder = nn.ModuleDict(
            {
                "embeddings": plain_embeddings(words, c.word_positions, c),
                "decoder": nn.ModuleDict({"layer": nn.ModuleList(PlainWordLayer(c) for _ in range(c.decoder_layers))}),
                "classifier": nn.ModuleDict({"cls": nn.ModuleDict({"predictions": predictions})}),
            }
        )
        self.dropout = nn.Dropout(c.dropout)

    def embedded(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        embeddings = part["embeddings"]
        positions = embeddings["position_embeddings"](torch.arange(x.shape[1]))
        return self.dropout(embeddings["LayerNorm"](embeddings["word_embeddings"](x) + positions))

    def encode(self, rows: Tensor) -> Tensor:
        x = self.embedded(self.visual, rows)
        for layer in self.visual["encoder"]["layer"]:
            x = layer(x, torch.full((len(x), 1, 1, x.shape[1]), -10000.0))
        return x

    def word_logits(self, rows: Tensor, words: Tensor, valid: Tensor) -> Tensor:
        length = words.shape[1]
        is_hidden = torch.ones(length, length).triu(1)[None] + (1 - valid.float())[:, None] > 0
        mask, row_mask = is_hidden[:, None] * -10000.0, torch.full((len(rows), 1, 1, rows.shape[1]), -10000.0)
        x = self.embedded(self.decoder, words)
        for layer in self.decoder["decoder"]["layer"]:
            x = layer(x, rows, mask, row_mask)
        predictions = self.decoder["classifier"]["cls"]["predictions"]
        hidden = predictions.transform["LayerNorm"](F.gelu(predictions.transform["dense"](x)))
        return predictions.decoder(hidden) + predictions.bias


class PlainNetwork(nn.Module):
    """Either form; batches are those of `models.systems.quag.samples.collate`."""

    def __init__(self, c: NetworkConfig, visual_dim: int, query_dim: int, speech_dim: int) -> None:
        super().__init__()
        self.c, width = c, c.inner_width
        self.asr_enc_layer = nn.Sequential(nn.LayerNorm(speech_dim), nn.Linear(speech_dim, width))
        self.temporal_embed = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width))
        self.mask_embed, self.boundary_embed = nn.Embedding(2, width), nn.Embedding(2, width)
        convs = (nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.moment_conv = nn.Sequential(next(convs), nn.GELU(), next(convs))
        for name in ("start", "end", "segment"):
            setattr(self, f"{name}_predictor", nn.Sequential(nn.Linear(c.width, 1)))
        self.clip4cap_model = PlainClip4Caption(c)
        self.clip_g_map, self.clip_g_map_text = nn.Linear(visual_dim, width), nn.Linear(query_dim, width)
        if c.form == "quag":
            self.align = nn.ModuleList([PlainAlign(c)])
            self.transformer = nn.ModuleList(PlainBlock(c) for _ in range(c.layers))
            self.val, self.temp = PlainFilter(c), nn.Parameter(torch.tensor(0.07))
            self.fc = nn.Sequential(nn.Linear(2 * width, width))

    def shared(
        self, visual: Tensor, speech: Tensor, query: Tensor, valid: Tensor, moment: Tensor, boundary: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return fused rows (B, T, width) and the contrast of video and speech."""
        v = self.clip4cap_model.normalize_video["visual_norm2d"](self.clip_g_map(visual))
        t = self.clip_g_map_text(query)
        t = t / t.norm(dim=-1, keepdim=True)
        a, contrast = self.asr_enc_layer(speech), torch.zeros(())
        if self.c.form == "quag":
            contrast = self.contrast(v, a, valid)
            x, y = v.transpose(0, 1), a.transpose(0, 1)
            for layer in self.align:
                x, y = layer(x, y), layer(y, x)
            f = self.val(self.fc(torch.cat([x, y], dim=-1)).transpose(0, 1), t)
        else:
            f = v * t[:, None] + a
        if boundary is not None:
            f = f + self.boundary_embed(boundary.long())
        times = torch.zeros(valid.shape)
        for row, length in zip(times, valid.sum(1).tolist(), strict=True):
            row[:length] = 2 * (torch.linspace(0, 1, length) - 0.5)
        f = f + self.temporal_embed(times[:, :, None]) + self.mask_embed(moment.long())
        if self.c.form == "hirest":
            return self.clip4cap_model.encode(f), contrast
        f = f.transpose(0, 1)
        for block in self.transformer:
            f = block(f)
        return f.transpose(0, 1), contrast

    def contrast(self, v: Tensor, a: Tensor, valid: Tensor) -> Tensor:
        with torch.no_grad():
            self.temp.clamp_(0.001, 0.5)
        pooled = [F.normalize(part.sum(1) / valid.sum(1)[:, None], dim=-1) for part in (v, a)]
        scores, own = pooled[0] @ pooled[1].t() / self.temp, torch.arange(len(v))
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.t(), own)) / 2

    def of_batch(self, batch: dict, moment: Tensor, boundary: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.shared(batch["visual"], batch["speech"], batch["query"], batch["valid_mask"], moment, boundary)

    def loss(self, batch: dict, contrastive_weight: float) -> Tensor:
        """Return the published loss of a batch."""
        moment = batch["moment_mask"]
        rows, contrast = self.of_batch(batch, moment, batch.get("boundary_mask"))
        if batch["task"] == "moments":
            losses = []
            for name, head in (("start_row", self.start_predictor), ("end_row", self.end_predictor)):
                target = torch.zeros(moment.shape).scatter_(1, batch[name][:, None], 1)
                loss = F.binary_cross_entropy_with_logits(head(rows)[:, :, 0], target, reduction="none") * moment
                losses.append(loss.sum() / moment.sum())
            loss = (losses[0] + losses[1]) / 2
        elif batch["task"] == "steps":
            logits = self.segment_predictor(rows)[:, :, 0].masked_fill(~moment, -LARGEST)
            loss = F.cross_entropy(logits, batch["next_row"])
        else:
            logits = self.clip4cap_model.word_logits(rows, batch["words"], batch["words_mask"])
            loss = F.cross_entropy(logits.flatten(0, 1), batch["next_words"].flatten())
        return loss + contrastive_weight * contrast


@torch.no_grad()
def plain_moments(network: PlainNetwork, batch: dict) -> list[tuple[int, int]]:
    rows, _ = network.of_batch(batch, batch["moment_mask"], None)
    found = []
    for head in (network.start_predictor, network.end_predictor):
        logits = head(rows)[:, :, 0]
        logits[~batch["valid_mask"]] = -1e10
        found.append(logits.argmax(1).tolist())
    return list(zip(*found, strict=True))


@torch.no_grad()
def plain_steps(network: PlainNetwork, batch: dict, config: Config) -> list[list[int]]:
    """Cut all moments of a batch, always for all iterations."""
    n_samples, n_rows = batch["valid_mask"].shape
    moment, boundary = (
        torch.zeros(n_samples, n_rows, dtype=torch.long),
        torch.zeros(n_samples, n_rows, dtype=torch.long),
    )
    pieces = []
    for b, (first, last) in enumerate(batch["moment_rows"]):
        moment[b, first : last + 1] = 1
        boundary[b, first] = 1
        pieces.append([[first, first]])
    for _ in range(config.decoding.iterations):
        rows, _ = network.of_batch(batch, moment, boundary)
        logits = network.segment_predictor(rows)[:, :, 0]
        logits[moment == 0] = -LARGEST
        chances = logits.softmax(1)
        for b in range(n_samples):
            piece = plain_peak(chances[b].tolist(), config.decoding.peak_share)
            if piece is not None:
                moment[b, piece[0] : piece[1] + 1] = 0
                boundary[b, piece] = 1
                pieces[b].append(piece)
    return [plain_boundaries(own, last) for own, (_, last) in zip(pieces, batch["moment_rows"], strict=True)]


def plain_peak(scores: list[float], share: float) -> list[int] | None:
    peak = max(range(len(scores)), key=lambda row: scores[row])
    if scores[peak] < 1e-5:
        return None
    left = right = peak
    while scores[left] / scores[peak] > share and left > 0:
        left -= 1
    while scores[right] / scores[peak] > share and right < len(scores) - 1:
        right += 1
    return None if left == 0 or right == 0 else [left, right]


def plain_boundaries(pieces: list[list[int]], last: int) -> list[int]:
    rows = [row for piece in sorted([*pieces, [last, last]], key=lambda piece: piece[0]) for row in piece]
    while rows[-1] > last:
        rows.pop()
    rows = sorted(set(rows))
    kept = [rows[0]]
    for row in rows[1:-1]:
        if row - kept[-1] >= 5:
            kept.append(row)
    return kept


@torch.no_grad()
def plain_captions(
    network: PlainNetwork, batch: dict, beams: int, max_words: int, start: int, end: int
) -> list[tuple[list[int], float]]:
    """Describe the steps of a batch together; every round encodes all words so far and scores all their successors."""
    rows, _ = network.of_batch(batch, batch["moment_mask"], None)
    found: list = [None] * len(rows)
    searches = {b: ([[start]] * beams, [0.0] * beams) for b in range(len(rows))}
    for number in range(max_words):
        if not searches:
            break
        words = torch.tensor([text for texts, _ in searches.values() for text in texts])
        memory = rows[list(searches)].repeat_interleave(beams, dim=0)
        logits = network.clip4cap_model.word_logits(memory, words, torch.ones_like(words))
        chances = logits[:, -1].log_softmax(1).unflatten(0, (-1, beams))
        for b, own in zip(list(searches), chances, strict=True):
            texts, scores = searches[b]
            totals = own[0] if number == 0 else (own + torch.tensor(scores)[:, None]).flatten()
            best = totals.topk(beams)
            places = [divmod(place, own.shape[1]) for place in best.indices.tolist()]
            texts = [[*texts[origin], word] for origin, word in places]
            searches[b] = texts, best.values.tolist()
            if texts[0][-1] == end or number == max_words - 1:
                found[b] = texts[0][1:], searches[b][1][0]
                del searches[b]
    return found
