"""CALCE's network: BLIP-2's frozen image tower and Q-Former, two learned projections, Flan-T5 with adapters.

It turns frames into vectors and prompts into language-model inputs; which frames and which prompt is decided in
`selection.py`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from models.encoders.networks.eva import image_tower, tokens_before_norm
from models.encoders.networks.filling import DTYPES
from models.encoders.networks.pixels import PIXEL_MEAN, PIXEL_STD
from models.encoders.networks.pixels import ready as ready_tower
from models.layers.qformer import QFormer, Sizes
from models.systems.calce.attention import encode, name_attention
from models.systems.calce.config import DecodingConfig, NetworkConfig, QformerSizes, TrainConfig
from models.systems.calce.generation import generate, packs, trimmed
from models.systems.calce.grounding import contrast, hint
from models.systems.calce.language_model import frozen_matrices_to, language_model, shifted, turn_adapters_off
from models.systems.calce.prompt import VISUAL

PADDING = -2
"""In the ids of an input: place of a vector of zeros that is not attended to."""
FRAMES_PER_PASS = 32
"""Frames that the image tower sees at a time."""
IGNORED = -100
"""Label of a position without target."""


def qformer(sizes: QformerSizes, token_width: int) -> QFormer:
    """Return the Q-Former with its text branch, on the device of the context."""
    return QFormer(
        Sizes(
            sizes.width,
            sizes.layers,
            sizes.heads,
            sizes.ffn_dim,
            token_width,
            sizes.vocabulary,
            sizes.positions,
            sizes.dropout,
        )
    )


@dataclass(frozen=True)
class VisualPrompt:
    """Input of the language model for one query.

    Attributes
    ----------
    segments : int64 ids of the parts of frames, captions and text; VISUAL stands for a visual vector
    vectors : (n, T5 width), the visual vectors in order
    """

    segments: Sequence[Tensor]
    vectors: Tensor

    @property
    def length(self) -> int:
        """Number of vectors, visual ones and tokens."""
        return sum(len(part) for part in self.segments)


class CalceNetwork(nn.Module):
    """All parts of CALCE.

    `state_dict` holds what learns (the published 872 tensors) and nothing else, and loading expects just that: frozen
    parts come from `fill_frozen`, 20 MB stand for 16 GB.

    Notes
    -----
    `ln_vision` uses the default epsilon 1e-5, on tokens without the tower's final norm. The published code means to
    freeze `t5_proj` and `ln_vision` but trains both.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        sizes, token_width = config.qformer, config.vision.width
        with torch.device("meta"):
            self.visual_encoder = image_tower(config.vision, n_classes=0) if config.rows == "frames" else None
            self.ln_vision = nn.LayerNorm(token_width)
            self.query_tokens = nn.Parameter(torch.empty(1, sizes.queries, sizes.width))
            self.qformer = qformer(sizes, token_width)
            self.query_proj = nn.Linear(sizes.queries, config.short_queries)
            self.t5_proj = nn.Linear(sizes.width, config.t5.width)
            self.t5_model = language_model(config.t5, config.lora)
        name_attention(self.t5_model, config.attention)
        self._choose_what_learns()
        self.register_state_dict_post_hook(_keep_learnt)
        self.register_load_state_dict_post_hook(_forgive_frozen)

    def _choose_what_learns(self) -> None:
        adapts = self.config.learns == "published"
        self.requires_grad_(False)
        for part in (self.query_proj, self.t5_proj):
            part.requires_grad_(True)
        self.ln_vision.requires_grad_(self.config.rows != "qformer")
        for name, parameter in self.t5_model.named_parameters():
            parameter.requires_grad_(("lora_" in name) == adapts)
        if not adapts:
            turn_adapters_off(self.t5_model)

    @property
    def learnt_names(self) -> set[str]:
        """Names of the tensors that a checkpoint holds; `ln_vision` is one of them even where it is frozen."""
        names = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        return names | {"ln_vision.weight", "ln_vision.bias"}

    def choose_formats(self) -> None:
        """Bring the network to its number formats, before it is given memory: no float32 copy is ever made."""
        if self.config.precision == "bf16":
            frozen_matrices_to(self.t5_model, torch.bfloat16)
        if self.visual_encoder is not None:
            ready_tower(self.visual_encoder, "meta", self.config.vision_precision)

    def compute_again(self) -> None:
        """Keep of every block of the language model its input only, and compute the rest in the backward pass."""
        self.t5_model.activation_checkpointing_enable({"use_reentrant": False})

    def train(self, mode: bool = True) -> "CalceNetwork":
        """Set the mode; the image tower stays in evaluation, and the Q-Former unless its dropout is wanted."""
        super().train(mode)
        if self.visual_encoder is not None:
            self.visual_encoder.eval()
        if not self.config.qformer.train_mode:
            self.qformer.eval()
        return self

    def reduced(self) -> AbstractContextManager:
        """Return the context in which the language model and the text branch run."""
        device = self.t5_proj.weight.device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.config.precision == "bf16")

    @torch.no_grad()
    def look(self, frames: Tensor) -> Tensor:
        """Return the tower's tokens (n, N, token width) of uint8 frames (n, H, W, 3), before `ln_vision`."""
        mean, std = (torch.tensor(v, device=frames.device).view(3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
        dtype = DTYPES[self.config.vision_precision]
        with torch.autocast(frames.device.type, dtype, enabled=dtype != torch.float32):
            return torch.cat(
                [
                    tokens_before_norm(self.visual_encoder, (part.permute(0, 3, 1, 2).float() / 255 - mean) / std)
                    for part in frames.split(FRAMES_PER_PASS)
                ]
            ).float()

    def normalised(self, tokens: Tensor) -> Tensor:
        """Return `ln_vision` of tokens (n, N, token width), float32."""
        with torch.autocast(tokens.device.type, enabled=False):
            return self.ln_vision(tokens.float())

    def ask(self, tokens: Tensor) -> Tensor:
        """Return the Q-Former's rows (n, queries, width) of normalised tokens (n, N, token width)."""
        queries = self.query_tokens.expand(len(tokens), -1, -1)
        rows, _ = self.qformer(queries, queries.shape[1], self.qformer.read(tokens))
        return rows

    @torch.no_grad()
    def sentence_vectors(self, ids: Tensor, valid: Tensor) -> Tensor:
        """Return the text branch's vectors (n, width) of sentences, those of their first tokens.

        Parameters
        ----------
        ids, valid : BERT ids (n, L), and where they are no padding
        """
        with self.reduced():
            rows, _ = self.qformer(self.qformer.embeddings.words(ids), mask=valid.bool()[:, None])
        return rows[:, 0].float()

    def visual_vectors(self, rows: Tensor, is_key: Tensor) -> Tensor:
        """Return the vectors of frames, all of a frame in a row: every query for key frames, few for the others.

        Parameters
        ----------
        rows : (n, queries, width)
        is_key : bool (n,)

        Returns
        -------
        (n_key * queries + n_other * short_queries, T5 width) in the order of the frames
        """
        n_queries, n_short = rows.shape[1], self.config.short_queries
        counts = self._counts(is_key)
        starts = counts.cumsum(0) - counts
        parts, places = [rows[is_key].flatten(0, 1)], [_runs(starts[is_key], n_queries)]
        # On several GPUs every parameter must get a gradient, if only of zeros.
        if not is_key.all() or torch.distributed.is_initialized():
            short = self.query_proj(rows[~is_key].transpose(1, 2)).transpose(1, 2)
            parts.append(short.flatten(0, 1).to(rows.dtype))
            places.append(_runs(starts[~is_key], n_short))
        order = torch.cat(places).argsort()
        return self.t5_proj(torch.cat(parts)[order])

    def inputs(self, prompts: Sequence["VisualPrompt"]) -> tuple[Tensor, Tensor]:
        """Return inputs_embeds (B, L, T5 width) float32 and attention_mask int64 (B, L) of prompts."""
        ids = padded([prompt.segments for prompt in prompts], self.config.padding).to(self.query_tokens.device)
        vectors = torch.cat([prompt.vectors for prompt in prompts])
        embedded = self.t5_model.shared(ids.clamp_min(0))
        embedded = embedded.masked_fill((ids < 0)[..., None], 0)
        embedded = embedded.masked_scatter((ids == VISUAL)[..., None], vectors.to(embedded.dtype))
        return embedded, (ids != PADDING).long()

    def logits(self, embedded: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Return float32 (B, M, vocabulary) for labels (B, M), -100 where there is none."""
        with self.reduced():
            return self.t5_model(
                encoder_outputs=(encode(self.t5_model, embedded, mask),),
                attention_mask=mask,
                decoder_input_ids=shifted(labels),
                decoder_attention_mask=(labels != IGNORED).long(),
                use_cache=False,
            ).logits.float()

    @staticmethod
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy over the labels that are not -100."""
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)

    def forward(self, batch: Mapping[str, Any], select: Any, train: TrainConfig, epoch: int) -> dict[str, Tensor]:
        """Return the terms of a batch's loss, `answer` and `contrast`, as far as they are wanted.

        Parameters
        ----------
        batch : of `System.collate`
        select : a `selection.Selector`
        train : says in which epochs there is which term, and a hint
        epoch : counts from 0
        """
        rows, means = self.frame_rows(batch["rows"])
        terms = {}
        if epoch >= train.contrast.epochs:
            labels, prompts = batch["labels"], self._prompts(rows, means, batch, select, train.hint_in(epoch))
            terms["answer"] = self.loss(self.logits(*self.inputs(prompts), labels), labels)
        if train.contrast.weight:
            terms["contrast"] = contrast(
                self.t5_proj(rows).mean(dim=1).split(batch["n_frames"]),
                [self._words(sample) for sample in batch["samples"]],
                [sample["is_inside"] for sample in batch["samples"]],
                self._shared(),
                train.contrast.temperature,
            )
        return terms

    def _words(self, sample: Mapping[str, Any]) -> Tensor:
        # Frames come to words, which stay where they are: the head knows them there.
        return self.t5_model.shared.weight.detach()[sample["words"]]

    def _shared(self) -> Tensor:
        return self.t5_model.shared.weight.detach().mean(dim=0)

    def prompts(self, batch: Mapping[str, Any], select: Any) -> list["VisualPrompt"]:
        """Return the prompt of every query of a batch, after the choice of frames and captions."""
        return self._prompts(*self.frame_rows(batch["rows"]), batch, select)

    def _prompts(
        self, rows: Tensor, means: Tensor, batch: Mapping[str, Any], select: Any, hint_strength: float = 0.0
    ) -> list["VisualPrompt"]:
        counts, found = batch["n_frames"], []
        shared = self._shared() if hint_strength else None
        for own, mean, sample in zip(rows.split(counts), means.split(counts), batch["samples"], strict=True):
            chosen = select(self, own, mean, sample)
            kept, is_key = chosen.is_kept, chosen.is_key[chosen.is_kept]
            vectors = self.visual_vectors(own[kept], is_key)
            if hint_strength:
                is_inside = sample["is_inside"].to(kept.device)[kept].repeat_interleave(self._counts(is_key))
                vectors = vectors + hint_strength * is_inside[:, None] * hint(self._words(sample), shared)
            found.append(VisualPrompt(chosen.segments, vectors))
        return found

    def _counts(self, is_key: Tensor) -> Tensor:
        """Return how many vectors each frame has, for bool (n,)."""
        return torch.where(is_key, self.config.qformer.queries, self.config.short_queries)

    def answers(self, prompts: Sequence["VisualPrompt"], options: DecodingConfig) -> list[list[int]]:
        """Return the token ids that answer each prompt; prompts of like length are decoded together."""
        found: list[list[int]] = [[] for _ in prompts]
        for places in packs([prompt.length for prompt in prompts], options.batch_tokens):
            embedded, mask = self.inputs([prompts[place] for place in places])
            with self.reduced():
                ids = generate(self.t5_model, embedded, mask, options)
            for place, answer in zip(places, trimmed(ids), strict=True):
                found[place] = answer
        return found

    def frame_rows(self, stored: Tensor) -> tuple[Tensor, Tensor]:
        """Return the Q-Former's rows (n, queries, width) of stored rows, and frame means for stage 1's events.

        The means (n, token width) are those of the normalised tokens; of the Q-Former's rows where only these are
        stored.
        """
        sizes, vision = self.config.qformer, self.config.vision
        if self.config.rows == "qformer":
            rows = stored.unflatten(1, (sizes.queries, sizes.width)).float()
            return rows, rows.mean(dim=1)
        if self.config.rows == "frames":
            stored = self.look(stored.unflatten(1, (vision.image_size, vision.image_size, 3)))
        else:
            stored = stored.unflatten(1, (-1, vision.width))
        tokens = self.normalised(stored)
        return self.ask(tokens), tokens.detach().mean(dim=1)


def _runs(starts: Tensor, length: int) -> Tensor:
    return (starts[:, None] + torch.arange(length, device=starts.device)).flatten()


def padded(segments: Sequence[Sequence[Tensor]], how: str) -> Tensor:
    """Return ids (B, L) of inputs that consist of segments (video, captions, text), padded with PADDING."""
    if how == "compact":
        return pad_sequence([torch.cat(list(parts)) for parts in segments], True, PADDING)
    *left, right = [list(parts) for parts in zip(*segments, strict=True)]
    sides = [(parts, "left") for parts in left] + [(right, "right")]
    return torch.cat([pad_sequence(parts, True, PADDING, side) for parts, side in sides], dim=1)


def _keep_learnt(network: CalceNetwork, state: dict[str, Any], prefix: str, _: Any) -> None:
    learnt = {f"{prefix}{name}" for name in network.learnt_names}
    for name in [name for name in state if name.startswith(prefix) and name not in learnt]:
        del state[name]


def _forgive_frozen(network: CalceNetwork, incompatible: Any) -> None:
    learnt = network.learnt_names
    frozen = {name for name, _ in network.named_parameters(remove_duplicate=False)} - learnt
    # accelerate's wrapper for several GPUs puts a name before.
    missing = [name for name in incompatible.missing_keys if name.removeprefix("module.") not in frozen]
    incompatible.missing_keys[:] = missing
