"""IMG as the training loop sees it: samples, batches, loss, predictions and optimisation.

Source: HuiGuanLab/IMG, arXiv 2508.04273.
"""

import base64
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.layers.checkpoints import match_state
from models.layers.resampling import limit_rows, rescale_rows
from models.layers.word_vectors import read_word_vectors, tokenise
from models.systems import interface
from models.systems.img.config import Config
from models.systems.img.decoding import best_spans
from models.systems.img.losses import loss_terms, quarter_cosine
from models.systems.img.network import BRANCHES, ImgNetwork
from models.systems.img.query import CHAR_CHANNELS
from models.systems.img.targets import draw_saliency_pairs, span_to_steps, steps_to_seconds
from models.systems.img.vocabulary import PAD_ID, Vocabulary, build_vocabulary
from models.systems.interface import Answer, Batch, Item, QueryScore, Rows, Span, at_hand

# parity: the layer norms of the slot attention are called `norm_*` and are decayed.
NO_DECAY = ("bias", "layer_norm", "LayerNorm")
SLOT_SEED = 0
"""Of the draw of `network.slot_noise: fixed`."""


class System(interface.System):
    """Implements `models.systems.interface.System`.

    Streams: `visual`, one or more features; `audio`, one or more; `text`, one (tokens), with query kind `tokens` only.
    """

    @classmethod
    def fit(cls, config: Config, items: Sequence[Item]) -> dict[str, Any]:
        """Return the vocabulary of the items with its word vectors; nothing with query kind `tokens`.

        parity: the published vocabulary is that of the training items followed by the test items (`Config.fits_on`).
        """
        query = config.network.query
        if query.kind != "glove":
            return {}
        if not Path(query.word_vectors).is_file():
            raise ValueError(
                f"network.query.word_vectors: no file {query.word_vectors}; query kind glove reads a GloVe text file "
                "(published: glove.840B.300d.txt). Or set network.query.kind to tokens and name a text feature"
            )
        token_lists = [tokenise(item.text)[: config.network.max_steps] for item in items]
        wanted = {token for tokens in token_lists for token in tokens}
        vectors = read_word_vectors(Path(query.word_vectors), query.word_dim, wanted)
        vocabulary = build_vocabulary(token_lists, vectors.keys(), query.min_char_count)
        table = np.array([vectors[word] for word in vocabulary.words], dtype="<f4")
        return {
            "words": list(vocabulary.words),
            "chars": list(vocabulary.chars),
            "word_vectors": base64.b64encode(table.tobytes()).decode("ascii"),
        }

    def __init__(self, config: Config, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        """`fitted` as `fit` returned it; `stream_dims`: stream name -> width of each of its features."""
        super().__init__(config, fitted, stream_dims)
        self.is_glove = config.network.query.kind == "glove"
        self._check_streams()
        if self.is_glove:
            self.vocabulary = Vocabulary(tuple(fitted["words"]), tuple(fitted["chars"]))

    def _check_streams(self) -> None:
        for name in ("visual", "audio"):
            if not self.stream_dims.get(name):
                raise ValueError(f"IMG needs at least one {name} feature; the streams given are {self.stream_dims}")
        n_text = len(self.stream_dims.get("text", []))
        if not self.is_glove and n_text != 1:
            raise ValueError(f"network.query.kind tokens needs exactly one text feature, found {n_text}")
        n_visual, reference = len(self.stream_dims["visual"]), self.config.data.reference_feature
        if not -n_visual <= reference < n_visual:
            raise ValueError(f"data.reference_feature {reference} is out of range: {n_visual} visual feature(s)")

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used, None if it can.

        `no_visual`, `no_audio`, `no_text`, `no_moment` (training only), `not_finite_visual`, `not_finite_audio`,
        `not_finite_text`.
        """
        if not all(rows.n_rows for rows in item.streams["visual"]):
            return "no_visual"
        if not _has_audio(item) and self.config.data.no_audio == "drop":
            return "no_audio"
        if not (tokenise(item.text) if self.is_glove else item.streams["text"][0].n_rows):
            return "no_text"
        for stream in ("visual", "audio") if self.is_glove else ("visual", "audio", "text"):
            if not all(np.isfinite(rows.read()).all() for rows in item.streams[stream]):
                return f"not_finite_{stream}"
        if training and not len(item.annotated.moments):
            return "no_moment"
        return None

    def sample(self, item: Item, rng: random.Random | None) -> dict[str, Any]:
        """Return the network input of one query; with `rng` also the targets, from its first moment.

        Raises
        ------
        ValueError
            If `skip_reason` is not None.
        """
        [item] = at_hand([item])
        reason = self.skip_reason(item, training=rng is not None)
        if reason is not None:
            raise ValueError(f"query {item.id} on video {item.video_id} cannot be used: {reason}")
        network, visual = self.config.network, self._visual(item.streams["visual"])
        n_steps = len(visual)
        sample = {
            "query_id": item.id,
            "video_id": item.video_id,
            "duration_s": item.duration_s,
            "visual": visual,
            "audio": self._audio(item.streams["audio"], n_steps),
            "has_audio": _has_audio(item),
        }
        if self.is_glove:
            words = tokenise(item.text)[: network.max_steps]
            sample |= {"word_ids": self.vocabulary.word_ids(words), "char_ids": self.vocabulary.char_ids(words)}
        else:
            tokens = item.streams["text"][0].read().astype(np.float32, copy=False)
            # parity: published token queries are not cut; only positions in time run out.
            sample["tokens"] = tokens[: network.max_steps] if network.pos_mode == "time" else tokens
        if rng is not None:
            start_s, end_s = (float(bound) for bound in item.annotated.moments[0])
            first, last = span_to_steps(start_s, end_s, n_steps, item.duration_s)
            positives, negatives = draw_saliency_pairs(first, last, n_steps, rng, self.config.data.saliency_pairs)
            sample |= {"first": first, "last": last, "positives": positives, "negatives": negatives}
        return sample

    def _visual(self, features: Sequence[Rows]) -> np.ndarray:
        """Return float32 (T, sum of widths), T set by the reference feature."""
        reference = self.config.data.reference_feature % len(features)
        base = limit_rows(features[reference].read(), self.config.network.max_steps)
        parts = [base if i == reference else rescale_rows(f.read(), len(base)) for i, f in enumerate(features)]
        return np.concatenate(parts, axis=1)

    def _audio(self, features: Sequence[Rows], n_steps: int) -> np.ndarray:
        """Return float32 (n_steps, sum of widths); zeros for a feature without rows."""
        parts = []
        for rows, dim in zip(features, self.stream_dims["audio"], strict=True):
            if rows.n_rows:
                values, scale = rows.read().astype(np.float32, copy=False), self.config.data.audio_scale
                parts.append(rescale_rows(values if scale == 1 else values / np.float32(scale), n_steps))
            else:
                parts.append(np.zeros((n_steps, dim), dtype=np.float32))
        return np.concatenate(parts, axis=1)

    def collate(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch, zero padded to its longest video, query and word.

        Keys are those of `ImgNetwork.forward`, the targets of `losses.loss_terms` where the samples have them, and the
        lists `query_ids`, `video_ids`, `durations_s`, `has_audio`.
        """
        n_steps = [len(sample["visual"]) for sample in samples]
        batch: dict[str, Any] = {
            "query_ids": [sample["query_id"] for sample in samples],
            "video_ids": [sample["video_id"] for sample in samples],
            "durations_s": [sample["duration_s"] for sample in samples],
            "has_audio": [sample["has_audio"] for sample in samples],
            "n_steps": n_steps,
            "visual": _pad([sample["visual"] for sample in samples]),
            "audio": _pad([sample["audio"] for sample in samples]),
            "video_mask": _mask(n_steps),
        }
        if self.is_glove:
            batch["word_ids"] = _pad([np.array(sample["word_ids"], dtype=np.int64) for sample in samples])
            batch["char_ids"] = _pad_chars([sample["char_ids"] for sample in samples])
            batch["query_mask"] = (batch["word_ids"] != PAD_ID).float()
        else:
            batch["tokens"] = _pad([sample["tokens"] for sample in samples])
            batch["query_mask"] = _mask([len(sample["tokens"]) for sample in samples])
        if "first" in samples[0]:
            for key in ("first", "last", "positives", "negatives"):
                batch[key] = torch.tensor([sample[key] for sample in samples])
        return batch

    def _build_network(self) -> ImgNetwork:
        text_dim = 0 if self.is_glove else self.stream_dims["text"][0]
        sizes = (len(self.vocabulary.words), len(self.vocabulary.chars)) if self.is_glove else (0, 0)
        widths = (sum(self.stream_dims["visual"]), sum(self.stream_dims["audio"]), text_dim)
        return ImgNetwork(self.config.network, *widths, vocabulary_sizes=sizes)

    def network(self, base: Mapping[str, Any] | None = None) -> ImgNetwork:
        """Return the initialised network; draws from torch's global generator."""
        network = self._build_network()
        if self.is_glove:
            for embedding in (network.word_embeddingv, network.word_embeddinga):
                embedding.word_emb.glove_vec.copy_(self._word_vectors())
        return network

    def _slot_noise(self, batch: Mapping[str, Any], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return the start of the audio and of the visual slots (B, K, D); the audio ones are drawn first."""
        network, visual = self.config.network, batch["visual"]
        shape = (len(visual), network.event_num, network.dim)
        if network.slot_noise == "fixed":
            draws = torch.randn((2, *shape[1:]), generator=torch.Generator().manual_seed(SLOT_SEED)).to(visual)
            return draws[0].expand(shape), draws[1].expand(shape)
        if network.slot_noise == "zero":
            zeros = visual.new_zeros(shape)
            return zeros, zeros
        device = visual.device if generator is None else generator.device
        audio, video = (torch.randn(shape, generator=generator, device=device).to(visual.device) for _ in range(2))
        return audio, video

    def skip_draws(self, n_units: int, generator: Any, task: str) -> bool:
        """Draw the slot noise of a batch where it is `random`."""
        if self.config.network.slot_noise == "random":
            for _ in range(2):
                torch.randn((n_units, self.config.network.event_num, self.config.network.dim), generator=generator)
        return True

    def loss(self, network: Any, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the scalar terms of the loss, batch means where the term is per sample; `epoch` counts from zero."""
        config = self.config.loss
        gate_share = quarter_cosine(epoch, config.gate_warmup_epochs)
        outputs = network(batch, self._slot_noise(batch, None), gate_share)
        terms = loss_terms(outputs, batch, config, quarter_cosine(epoch, config.distillation_warmup_epochs))
        return {name: term.mean() for name, term in terms.items()}

    def predict(
        self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False
    ) -> list[Answer | QueryScore]:
        """Return one span per query, with the product of its start and end probability as score.

        The network must be in evaluation mode. `generator` feeds the slot noise where `network.slot_noise` is
        `random`; None draws from torch's global generator. In detail: also the spans of all three predictors (`av`,
        `v`, `a`), and each query's `audio_importance`, 0 to 1.
        """
        chosen = self.config.decoding.branch
        is_visual = [self.config.data.no_audio == "visual" and not has for has in batch["has_audio"]]
        branches = BRANCHES if in_detail else (chosen, "v") if any(is_visual) and chosen != "v" else (chosen,)
        outputs = network(batch, self._slot_noise(batch, generator), branches=branches)
        found = {branch: _spans(outputs, branch, batch) for branch in branches}
        answers: list[Answer | QueryScore] = [found["v" if visual else chosen][i] for i, visual in enumerate(is_visual)]
        if in_detail:
            answers += [replace(span, variant=f"predictor:{name}") for name in BRANCHES for span in found[name]]
            importance = zip(batch["query_ids"], outputs["importance"].float().tolist(), strict=True)
            answers += [QueryScore(query_id, "audio_importance", value) for query_id, value in importance]
        return answers

    def parameter_groups(self, network: Any) -> list[dict[str, Any]]:
        """Return the decayed parameters and those that are not."""
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for name, parameter in network.named_parameters():
            groups[not any(part in name for part in NO_DECAY)].append(parameter)
        return [
            {"params": groups[True], "weight_decay": self.config.train.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ]

    def optimiser(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW."""
        train = self.config.train
        # One pass over all weights, of which there are many small ones.
        return torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.betas, eps=train.eps, fused=True)

    def schedule(self, optimiser: torch.optim.Optimizer, n_steps: int) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the linear fall to 0 over `n_steps` optimiser steps, after the warm-up."""
        n_warmup = int(n_steps * self.config.train.warmup_proportion)

        def factor(step: int) -> float:
            if step < n_warmup:
                return step / n_warmup
            return max(0.0, (n_steps - step) / max(1, n_steps - n_warmup))

        return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)

    def import_checkpoint(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the state dict for a published checkpoint, whose names are those of the network.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape differs; or if a word has another vector than in the vocabulary:
            for the GloVe query encoder a checkpoint is only valid with the vocabulary that it was trained with, which
            it holds no list of.
        """
        with torch.device("meta"):
            expected = self._build_network().state_dict()
        matched = match_state(expected, state, "IMG", " or vocabulary")
        if self.is_glove:
            self._check_vectors(matched)
        return matched

    def _check_vectors(self, state: Mapping[str, Tensor]) -> None:
        table = self._word_vectors()
        for side in "va":
            stored = state[f"word_embedding{side}.word_emb.glove_vec"].float()
            other = (stored != table).any(1).nonzero().flatten().tolist()
            if other:
                raise ValueError(
                    f"the word vectors of the checkpoint are not those of the vocabulary: {len(other)} of {len(table)} "
                    f"differ, the first is of {self.vocabulary.words[other[0]]!r}. It was trained with other "
                    "annotations (network.query.vocabulary, splits, the order of the queries) or another GloVe file"
                )

    def _word_vectors(self) -> Tensor:
        """Return the vectors (words, word_dim) of the vocabulary, float32."""
        table = np.frombuffer(base64.b64decode(self.fitted["word_vectors"]), dtype="<f4").astype(np.float32)
        return torch.from_numpy(table.reshape(len(self.vocabulary.words), self.config.network.query.word_dim))


def _has_audio(item: Item) -> bool:
    return all(rows.n_rows for rows in item.streams["audio"])


def _spans(outputs: Mapping[str, Tensor], branch: str, batch: Mapping[str, Any]) -> list[Span]:
    """Return the span that one predictor gives for every query of the batch."""
    best = best_spans(outputs[f"start_{branch}"], outputs[f"end_{branch}"])
    columns = (batch["query_ids"], batch["video_ids"], batch["n_steps"], batch["durations_s"])
    spans = []
    for query_id, video_id, n, duration_s, first, last, score in zip(
        *columns, *(values.tolist() for values in best), strict=True
    ):
        start_s, end_s = (float(bound) for bound in steps_to_seconds(first, last, n, duration_s))
        spans.append(Span(query_id, video_id, 0, start_s, end_s, score))
    return spans


def _pad(arrays: Sequence[np.ndarray]) -> Tensor:
    """Stack arrays (n_i, ...) to (B, max n, ...), zero padded."""
    return pad_sequence([torch.from_numpy(array) for array in arrays], batch_first=True)


def _mask(lengths: Sequence[int]) -> Tensor:
    """Return float32 (B, max length), 1 below each length."""
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).float()


def _pad_chars(queries: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Return int64 (B, L, W), W the longest word of the batch but at least the widest character convolution."""
    width = max([len(CHAR_CHANNELS), *(len(word) for words in queries for word in words)])
    table = np.full((len(queries), max(len(words) for words in queries), width), PAD_ID, dtype=np.int64)
    for b, words in enumerate(queries):
        for i, word in enumerate(words):
            table[b, i, : len(word)] = word
    return torch.from_numpy(table)
