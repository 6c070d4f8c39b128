"""MRNet as the training loop sees it: samples, batches, loss, predictions and optimisation.

Source: xian-sh/MRNet (ACM MM 2024).
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.layers.checkpoints import match_state
from models.layers.pooling import pool_tokens
from models.layers.resampling import rescale_rows
from models.systems import interface
from models.systems.interface import Batch, Item, Rows, Span, at_hand, by_video
from models.systems.mrnet.candidates import candidate_cells, cell_spans, clamp_moment, hull_iou
from models.systems.mrnet.checkpoint import detect, unwrap
from models.systems.mrnet.config import Config
from models.systems.mrnet.decoding import candidate_scores, ranked_spans
from models.systems.mrnet.losses import loss_terms
from models.systems.mrnet.network import MrnetNetwork

_NORM_EPS = 1e-12


class System(interface.System):
    """Implements `models.systems.interface.System`.

    Streams: `visual`, one or more features; `text`, one, of text or spoken queries.
    """

    def __init__(self, config: Config, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        """`stream_dims`: stream name -> width of each of its features."""
        super().__init__(config, fitted, stream_dims)
        if not self.stream_dims.get("visual") or len(self.stream_dims.get("text", [])) != 1:
            raise ValueError(
                "MRNet needs at least one visual and exactly one text feature; the streams given are "
                f"{self.stream_dims}"
            )
        network = config.network
        self.cells = candidate_cells(network.clips, tuple(network.pooling_counts))
        if config.loss.positives > len(self.cells):
            raise ValueError(f"loss.positives {config.loss.positives} exceeds the {len(self.cells)} candidates")

    def units(self, items: Sequence[Item], task: str | None = None) -> list[Any]:
        """Return lists of all queries of a video; the queries where they are independent."""
        return list(items) if self.config.data.query_context == "independent" else by_video(items)

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used, None if it can.

        `no_visual`, `no_text`, `no_moment` (also in evaluation where queries are ordered by their moments),
        `not_finite_visual`, `not_finite_text`, `degenerate_moment`.
        """
        for stream in ("visual", "text"):
            if not all(rows.n_rows for rows in item.streams[stream]):
                return f"no_{stream}"
            if not all(np.isfinite(rows.read()).all() for rows in item.streams[stream]):
                return f"not_finite_{stream}"
        if not len(item.annotated.moments):
            return "no_moment" if training or self.config.data.query_context == "joint_gt_order" else None
        if (
            training
            and self.config.data.drop_degenerate
            and item.annotated.moments[0][0] >= item.annotated.moments[0][1]
        ):
            return "degenerate_moment"
        return None

    def sample(self, items: Sequence[Item] | Item, rng: random.Random | None) -> dict[str, Any]:
        """Return the network input of the queries of one video; with `rng` also the targets, from their first moments.

        Parameters
        ----------
        items : all queries of a video, in any order; one query where queries are independent

        Raises
        ------
        ValueError
            If `skip_reason` of an item is not None.
        """
        items = at_hand([items] if isinstance(items, Item) else items)
        for item in items:
            reason = self.skip_reason(item, training=rng is not None)
            if reason is not None:
                raise ValueError(f"query {item.id} on video {item.video_id} cannot be used: {reason}")
        items = self._ordered(items)
        first = items[0]
        sample = {
            "query_ids": [item.id for item in items],
            "video_id": first.video_id,
            "duration_s": first.duration_s,
            "rows": self._rows(first.streams["visual"]),
            "queries": np.stack([_query_vector(item.streams["text"][0]) for item in items]),
        }
        if rng is not None:
            moments = _moments(items)
            spans = cell_spans(self.cells, self.config.network.clips, first.duration_s)
            sample |= {"moments": moments, "iou": hull_iou(spans, moments[:, None])}
        return sample

    def _ordered(self, items: list[Item]) -> list[Item]:
        """Return the queries of a video in the order in which they see one another."""
        context = self.config.data.query_context
        if context == "joint_gt_order":
            # parity: the order tells the answer's rank. Stable, as torch 1.11 sorted: equal starts keep their order.
            order = np.argsort(_moments(items)[:, 0], kind="stable")
            return [items[i] for i in order]
        if context == "joint_shuffled":
            return sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).digest())
        return items

    def _rows(self, features: Sequence[Rows]) -> np.ndarray:
        """Return float32 (P, sum of widths): every row of length 1, then averaged to P rows."""
        n_rows = self.config.network.pre_clips
        return np.concatenate([rescale_rows(_unit(f.read()), n_rows, np.float32) for f in features], axis=1)

    def collate(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch of B videos, the queries padded with zeros to the most of a video.

        Keys are those of `MrnetNetwork.forward`, the targets of `losses.loss_terms` where the samples have them, and
        the lists `query_ids` (one list per video), `video_ids`, `durations_s`.
        """
        counts = torch.tensor([len(sample["queries"]) for sample in samples])
        batch: dict[str, Any] = {
            "query_ids": [sample["query_ids"] for sample in samples],
            "video_ids": [sample["video_id"] for sample in samples],
            "durations_s": [sample["duration_s"] for sample in samples],
            "rows": torch.from_numpy(np.stack([sample["rows"] for sample in samples])),
            "queries": pad_sequence([torch.from_numpy(sample["queries"]) for sample in samples], batch_first=True),
            "n_queries": counts,
        }
        if "iou" in samples[0]:
            moments = np.concatenate([sample["moments"] for sample in samples])
            numbers: dict[str, int] = {}
            batch |= {
                "iou": torch.from_numpy(np.concatenate([sample["iou"] for sample in samples])),
                "moment_iou": torch.from_numpy(hull_iou(moments[:, None], moments)),
                "video_of_query": torch.arange(len(samples)).repeat_interleave(counts),
                "map_video": torch.tensor([numbers.setdefault(s["video_id"], len(numbers)) for s in samples]),
            }
        return batch

    def _build_network(self) -> MrnetNetwork:
        return MrnetNetwork(self.config.network, sum(self.stream_dims["visual"]), self.stream_dims["text"][0])

    def network(self, base: Mapping[str, Any] | None = None) -> MrnetNetwork:
        """Return the initialised network; draws from torch's global generator."""
        return self._build_network()

    def loss(self, network: Any, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the scalar terms of the loss; `epoch` counts from zero."""
        return loss_terms(network(batch), batch, self.config.loss, self.config.train.batch_size, epoch)

    def predict(self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False) -> list[Span]:
        """Return the ranked spans of every query; the network must be in evaluation mode, nothing is drawn.

        Raises
        ------
        FloatingPointError
            If a score is not finite.
        """
        decoding, outputs = self.config.decoding, network(batch)
        iou = outputs["iou_logits"].float().sigmoid()
        scores = candidate_scores(outputs["contrastive"].float(), iou, decoding.power)
        found, parts = [], scores.cpu().numpy()
        for query_ids, video_id, duration_s in zip(
            batch["query_ids"], batch["video_ids"], batch["durations_s"], strict=True
        ):
            own, parts = parts[: len(query_ids)], parts[len(query_ids) :]
            if not np.isfinite(own).all():
                raise FloatingPointError(f"video {video_id}: scores that are not finite; the weights are damaged")
            spans = cell_spans(self.cells, self.config.network.clips, duration_s)
            ranked = ranked_spans(own, spans, decoding.nms_threshold, decoding.max_spans)
            found += [
                Span(query_id, video_id, rank, start_s, end_s, score)
                for query_id, kept in zip(query_ids, ranked, strict=True)
                for rank, (start_s, end_s, score) in enumerate(kept)
            ]
        return found

    def parameter_groups(self, network: Any) -> list[dict[str, Any]]:
        """Return one group: everything is decayed."""
        return [{"params": list(network.parameters()), "weight_decay": self.config.train.weight_decay}]

    def optimiser(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW."""
        train = self.config.train
        # One pass over the weights, of which there are many: a tenth of the time on a CPU.
        return torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.betas, eps=train.eps, fused=True)

    def schedule(self, optimiser: torch.optim.Optimizer, n_steps: int) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the rate that falls to a tenth after every milestone, in epochs; stepped once per optimiser step."""
        train = self.config.train
        steps_per_epoch = max(1, n_steps // train.epochs)

        def factor(step: int) -> float:
            n_passed = sum(step // steps_per_epoch >= milestone for milestone in train.milestones)
            return 0.1**n_passed

        return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)

    def import_checkpoint(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the network's state dict for a published checkpoint file or its state dict.

        Raises
        ------
        ValueError
            If the checkpoint is of other settings (they are named), a name is missing or unknown, or a shape differs.
        """
        state = unwrap(state)
        network = self.config.network
        ours = {**network.model_dump(), **{f"retention.{k}": v for k, v in network.retention.model_dump().items()}}
        other = [f"network.{key}: {value}" for key, value in detect(state).items() if ours[key] != value]
        if other:
            raise ValueError(f"the checkpoint is of an MRNet with other settings; set {', '.join(other)}")
        with torch.device("meta"):
            expected = self._build_network().state_dict()
        return match_state(expected, state, "MRNet", " or its features")


def _unit(rows: np.ndarray) -> np.ndarray:
    """Return rows (T, D) scaled to length 1, as float32; zero rows stay."""
    rows = rows.astype(np.float32, copy=False)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(_NORM_EPS))


def _query_vector(rows: Rows) -> np.ndarray:
    """Return float32 (D,): the only row of a sentence feature, the pooled rows of a token feature."""
    return rows.read()[0].astype(np.float32) if rows.n_rows == 1 else pool_tokens(rows.read())


def _moments(items: Sequence[Item]) -> np.ndarray:
    """Return the first moment of every item, cut to the video, as float32 (n, 2)."""
    cut = [clamp_moment(*(float(bound) for bound in item.annotated.moments[0]), item.duration_s) for item in items]
    return np.array(cut, dtype=np.float32)
