"""The networks of QUAG and of the HiREST baseline: one encoder of rows, three heads.

Source: tuyunbin/QUAG `modeling_quag.py` and j-min/HiREST `modeling.py`. Modules carry the names of the published
checkpoints; `moment_conv`, and QUAG's `clip4cap_model.visual`, lie in them and are not used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import BoolTensor, LongTensor, Tensor, nn

from models.systems.quag.clip4caption import Clip4Caption
from models.systems.quag.config import NetworkConfig
from models.systems.quag.fusion import Align, Block, QueryFilter
from models.systems.quag.packing import Chosen, Packing, Padding, Runs, normalised_times, pack

START_TEMPERATURE, LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 0.07, 0.001, 0.5
CLOSED = -torch.finfo(torch.float32).max
"""Logit of a row that is out of the question."""


@dataclass(frozen=True)
class Context:
    """What is the same for a batch whatever its masks say.

    Attributes
    ----------
    rows : float (N, inner_width)
    packing : of these rows
    similarity : float (B, B) of every video with every speech, over the temperature; None for form hirest
    projected : what the first block's attention projects of the rows, (N, 3 * width), if it is needed many times
    """

    rows: Tensor
    packing: Packing
    similarity: Tensor | None
    projected: Tensor | None = None

    def only(self, samples: Sequence[int]) -> "Context":
        """Return the context of some samples, for what masks change."""
        packing, kept = self.packing.only(samples)
        return Context(self.rows[kept], packing, None, None if self.projected is None else self.projected[kept])


class MomentNetwork(nn.Module):
    """The whole network of either form.

    Parameters
    ----------
    config : sizes and options
    visual_dim, query_dim, speech_dim : widths of the inputs; a `speech_dim` of 0 leaves speech out (form hirest only)
    """

    def __init__(self, config: NetworkConfig, visual_dim: int, query_dim: int, speech_dim: int) -> None:
        super().__init__()
        if not speech_dim and config.form == "quag":
            raise ValueError("form quag cannot do without speech: it aligns video and speech; name a speech feature")
        self.config = config
        inner, width, dropout = config.inner_width, config.width, config.dropout
        if speech_dim:
            self.asr_enc_layer = nn.Sequential(nn.LayerNorm(speech_dim), nn.Linear(speech_dim, inner))
        self.has_speech = bool(speech_dim)
        self.temporal_embed = nn.Sequential(nn.Linear(1, inner), nn.Tanh(), nn.Linear(inner, inner))
        self.mask_embed, self.boundary_embed = nn.Embedding(2, inner), nn.Embedding(2, inner)
        self.moment_conv = nn.Sequential(
            nn.Conv1d(inner, inner, 3, padding=1), nn.GELU(), nn.Conv1d(inner, inner, 3, padding=1)
        )
        self.start_predictor = nn.Sequential(nn.Linear(width, 1))
        self.end_predictor = nn.Sequential(nn.Linear(width, 1))
        self.segment_predictor = nn.Sequential(nn.Linear(width, 1))
        self.clip4cap_model = Clip4Caption(config)
        self.clip_g_map, self.clip_g_map_text = nn.Linear(visual_dim, inner), nn.Linear(query_dim, inner)
        if config.form == "quag":
            self.align = nn.ModuleList([Align(width, config.heads, dropout)])
            self.transformer = nn.ModuleList(Block(width, config.heads, dropout) for _ in range(config.layers))
            self.val = QueryFilter(width, config.heads, dropout)
            self.temp = nn.Parameter(torch.tensor(START_TEMPERATURE))
            self.fc = nn.Sequential(nn.Linear(2 * width, width))

    def forward(self, batch: Mapping[str, Any], every_row: bool = False) -> dict[str, Tensor]:
        """Return the logits of a batch's task, and of QUAG `similarity` (B, B).

        Parameters
        ----------
        batch : `task`, and of `samples.collate`: `visual` (B, T, D), `speech` (B, T, A), `query` (B, Q), `valid_mask`
            and `moment_mask` bool (B, T); for steps `boundary_mask` bool (B, T); for captions `words` int64 (B, L) and
            `words_mask` bool (B, L)
        every_row : compute the logits of rows that no loss looks at too, which are `CLOSED` otherwise

        Returns
        -------
        dict
            moments: `start` and `end` (B, T); steps: `boundary` (B, T); captions: `words` (B, L, vocabulary)
        """
        task, moment_mask = batch["task"], batch["moment_mask"]
        context = self.context(batch, "rows" if every_row else self.padding)
        found = {} if context.similarity is None else {"similarity": context.similarity}
        if task == "captions":
            memory = self.memory(context, batch)
            return found | {"words": self.clip4cap_model.decoder(memory, batch["words"], batch["words_mask"])}
        if task == "moments":
            return found | self.moment_logits(context, moment_mask, None if every_row else batch["valid_mask"])
        asked = None if every_row else moment_mask
        return found | {"boundary": self.boundary_logits(context, moment_mask, batch["boundary_mask"], asked)}

    @property
    def padding(self) -> Padding:
        """How padding is treated: dropout tells rows of padding apart, and so do the positions of form hirest."""
        if self.config.mask_padding:
            return "none"
        return "rows" if self.training or self.config.form == "hirest" else "merged"

    def context(self, batch: Mapping[str, Any], padding: Padding) -> Context:
        """Return what the masks of a batch do not change."""
        packing = pack(batch["valid_mask"], padding)
        query = self.clip_g_map_text(batch["query"])
        query = query / query.norm(dim=-1, keepdim=True)
        video, video_runs = self._of_runs(packing.take(batch["visual"]), self._projected_video)
        similarity = None
        if self.config.form == "quag":
            speech, speech_runs = self._of_runs(packing.take(batch["speech"]), self.asr_enc_layer)
            similarity = self._similarity(video_runs.spread(video), speech_runs.spread(speech), packing)
            video, speech = self.align[0](video, speech, video_runs, speech_runs, packing)
            rows = self.val(self.fc(torch.cat((video, speech), dim=-1)), query, packing)
        else:
            rows = video_runs.spread(video) * packing.spread(query)
            if self.has_speech:
                speech, speech_runs = self._of_runs(packing.take(batch["speech"]), self.asr_enc_layer)
                rows = rows + speech_runs.spread(speech)
        times, time_runs = self._of_runs(
            normalised_times(batch["valid_mask"].sum(1).tolist(), packing), self.temporal_embed
        )
        return Context(rows + time_runs.spread(times), packing, similarity)

    def _projected_video(self, rows: Tensor) -> Tensor:
        return self.clip4cap_model.normalise(self.clip_g_map(rows))

    @staticmethod
    def _of_runs(rows: Tensor, layer: Callable[[Tensor], Tensor]) -> tuple[Tensor, Runs]:
        """Apply a layer to one row of every run."""
        runs = Runs.of(rows)
        return layer(runs.first(rows)), runs

    def _similarity(self, video: Tensor, speech: Tensor, packing: Packing) -> Tensor:
        """Return the cosine of each video with each speech, divided by the temperature.

        Notes
        -----
        parity: sums run over padding too (the lengths that the published code divides them by cancel out); the
        temperature is limited in place, at every use.
        """
        with torch.no_grad():
            self.temp.clamp_(LEAST_TEMPERATURE, GREATEST_TEMPERATURE)
        pooled = [F.normalize(packing.totals(rows), dim=-1) for rows in (video, speech)]
        return pooled[0] @ pooled[1].t() / self.temp

    def encode(
        self, context: Context, moment_mask: BoolTensor, boundary_mask: BoolTensor | None, chosen: Chosen | None
    ) -> Tensor:
        """Return rows (N, width), or the chosen ones (n, width), that know the masks of the batch, (B, T) each."""
        packing = context.packing
        marks = self.mask_embed(packing.take(moment_mask).long())
        if boundary_mask is not None:
            marks = marks + self.boundary_embed(packing.take(boundary_mask).long())
        rows = context.rows + marks
        if self.config.form == "hirest":
            return self.clip4cap_model.visual(rows, packing, chosen)
        *inner, last = self.transformer
        for number, block in enumerate(inner):
            rows = block(rows, packing, projected=self._projected(context, marks) if number == 0 else None)
        return last(rows, packing, chosen)

    def for_many_masks(self, context: Context) -> Context:
        """Return a context whose rows the first block need not project anew for every pair of masks."""
        if self.config.form == "hirest":
            return context
        return replace(context, projected=self.transformer[0].attention.project(context.rows))

    def _projected(self, context: Context, marks: Tensor) -> Tensor | None:
        """Return the projection of rows with their marks, (N, inner_width), of which few differ."""
        if context.projected is None:
            return None
        runs = Runs.of(marks)
        weight = self.transformer[0].attention.in_proj_weight
        return context.projected + runs.spread(F.linear(runs.first(marks), weight))

    def moment_logits(
        self, context: Context, moment_mask: BoolTensor, asked_mask: BoolTensor | None
    ) -> dict[str, Tensor]:
        """Return `start` and `end` (B, T) at the rows asked for, of all if None."""
        rows, places, packing = self._asked_rows(context, moment_mask, None, asked_mask)
        heads = {"start": self.start_predictor, "end": self.end_predictor}
        return {name: packing.put(head(rows)[:, 0], places, CLOSED) for name, head in heads.items()}

    def boundary_logits(
        self, context: Context, moment_mask: BoolTensor, boundary_mask: BoolTensor, asked_mask: BoolTensor | None
    ) -> Tensor:
        """Return how likely each row asked for ends the next step, (B, T)."""
        rows, places, packing = self._asked_rows(context, moment_mask, boundary_mask, asked_mask)
        return packing.put(self.segment_predictor(rows)[:, 0], places, CLOSED)

    def _asked_rows(
        self,
        context: Context,
        moment_mask: BoolTensor,
        boundary_mask: BoolTensor | None,
        asked_mask: BoolTensor | None,
    ) -> tuple[Tensor, LongTensor, Packing]:
        packing = context.packing
        chosen = None if asked_mask is None else Chosen.of(packing, packing.take(asked_mask))
        rows = self.encode(context, moment_mask, boundary_mask, chosen)
        places = torch.arange(len(rows), device=rows.device) if chosen is None else chosen.places
        return rows, places, packing

    def memory(self, context: Context, batch: Mapping[str, Any]) -> Tensor:
        """Return what the caption decoder sees of every step, (B, S, width)."""
        rows = self.encode(context, batch["moment_mask"], None, None)
        return rows.view(*context.packing.shape, -1)
