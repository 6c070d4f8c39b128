"""CALCE as the training loop sees it, either stage."""

import hashlib
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.systems import interface
from models.systems.calce import parsing
from models.systems.calce.captions import NO_SPEECH, Speech, from_rows
from models.systems.calce.checkpoint import fill_network, published_name, trained_state
from models.systems.calce.config import Config
from models.systems.calce.frames import crop_box, resized_crop
from models.systems.calce.items import EXTRACTORS
from models.systems.calce.memory import has_to_save
from models.systems.calce.network import IGNORED, CalceNetwork
from models.systems.calce.prompt import target, whole_seconds
from models.systems.calce.schedule import Schedule, learning_rate
from models.systems.calce.selection import Selector
from models.systems.calce.tokens import t5
from models.systems.interface import Batch, Item, Rows, Span

log = logging.getLogger(__name__)

UNDECAYED = ("bias", "ln", "bn")
"""Parameters with one of these in their published name have no weight decay."""


class System(interface.System):
    """Implements `models.systems.interface.System`.

    Streams: `visual`, one feature (`network.rows` says of what). It is told noun phrases, transcript and, in stage 2,
    the answers of stage 1.
    """

    def __init__(self, config: Config, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        """`stream_dims`: stream name -> width of each of its features.

        Raises
        ------
        ValueError
            If there is not exactly one visual feature, or its rows are not those of `network.rows`.
        """
        super().__init__(config, fitted, stream_dims)
        dims = list(stream_dims.get("visual", []))
        if len(dims) != 1:
            raise ValueError(f"CALCE needs exactly one visual feature; the streams given are {dict(stream_dims)}")
        width = _row_width(config)
        if dims[0] % width if config.network.rows == "tokens" else dims[0] != width:
            raise ValueError(
                f"rows of {dims[0]} values are not those of network.rows {config.network.rows}, which have "
                f"{'a multiple of ' if config.network.rows == 'tokens' else ''}{width}; check network.vision"
            )
        self.select = Selector(config)

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used: `no_visual`, `no_moment` (training), `no_prior_spans` (stage 2)."""
        rows = item.streams["visual"][0]
        if rows.status != "ok" or not rows.n_rows:
            return "no_visual"
        if training and not len(item.annotated.moments):
            return "no_moment"
        if self.config.stage == 2 and item.told.prior_spans is None:
            return "no_prior_spans"
        return None

    def sample(self, item: Item, rng: random.Random | None) -> dict[str, Any]:
        """Return one query with the rows of its frames.

        With `rng` also the target, the pieces of the query and which frames are within its moments; draws then differ
        by epoch.

        Raises
        ------
        ValueError
            If `skip_reason` of the item is not None.
        """
        reason = self.skip_reason(item, training=rng is not None)
        if reason is not None:
            raise ValueError(f"query {item.id} on video {item.video_id} cannot be used: {reason}")
        # The published annotations have whole seconds.
        duration_s = max(1, round(item.duration_s))
        crops = rng
        if rng is None and self.config.data.crop_answers and item.told.is_training:
            crops = random.Random(_seed_of(item.id))
        rows, times_s = self._frames(item.streams["visual"][0], crops)
        speech = self._speech(item)
        sample = {
            "query_id": item.id,
            "video_id": item.video_id,
            "query": item.text,
            "items": list(item.told.noun_phrases or EXTRACTORS[self.config.data.items](item.text)),
            "duration_s": duration_s,
            "rows": rows,
            "times_s": times_s,
            "captions": speech.captions,
            "speech_spans": speech.spans,
            "windows": self._prior_windows(item),
            "seed": _seed_of(item.id) if rng is None else rng.getrandbits(62),
        }
        if rng is not None:
            written = target(whole_seconds(item.annotated.moments), numbers=self.config.data.target_numbers)
            sample["labels"] = torch.tensor(t5().ids(written))
            sample["words"] = torch.tensor(t5().pieces(item.text))
            sample["is_inside"] = _is_inside(times_s, item.annotated.moments)
        return sample

    def _frames(self, feature: Rows, rng: random.Random | None) -> tuple[Tensor, Tensor]:
        """Return rows (T, D) and times (T,) of the frames that LAVIS's rule `head` takes.

        Of a feature of all frames of a short video, or of twice as many frames, these are the frames that the rule
        would take of the video.
        """
        n_stored = feature.n_rows
        n_frames = min(self.config.data.n_frames, n_stored)
        chosen = np.linspace(0, n_stored, n_frames + 1).astype(np.int64)[:-1]
        rows = torch.from_numpy(feature.read(chosen))
        times_s = torch.from_numpy(feature.times[chosen, 0].astype(np.float32))
        if self.config.stage == 2:
            # parity: only stage 2 rounds times.
            times_s = times_s.round(decimals=2)
        if self.config.network.rows == "frames":
            rows = self._cropped(rows, rng)
        return rows, times_s

    def _cropped(self, rows: Tensor, rng: random.Random | None) -> Tensor:
        data = self.config.data
        if rng is None or data.augment == "none":
            return rows.to(torch.uint8)
        size = self.config.network.vision.image_size
        frames = rows.to(torch.uint8).unflatten(1, (size, size, 3))
        return resized_crop(frames, crop_box(size, size, rng), data.clamp_after_bicubic).flatten(1)

    def _speech(self, item: Item) -> Speech:
        if not self.config.captions.use:
            return NO_SPEECH
        return from_rows(item.told.transcript or ())

    def _prior_windows(self, item: Item) -> list[list[int]] | None:
        if self.config.stage == 1:
            return None
        return [[int(start), int(end)] for start, end in item.told.prior_spans]

    def collate(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch.

        Returns
        -------
        dict
            `rows` (all frames of all samples, D), `n_frames` (list), `labels` (B, M) with -100 after the end, and
            `samples`, what is needed of every sample besides.
        """
        batch: dict[str, Any] = {
            "rows": torch.cat([sample["rows"] for sample in samples]),
            "n_frames": [len(sample["rows"]) for sample in samples],
            "samples": [{k: v for k, v in sample.items() if k not in ("rows", "labels")} for sample in samples],
        }
        if "labels" in samples[0]:
            batch["labels"] = pad_sequence([sample["labels"] for sample in samples], True, IGNORED)
        return batch

    def network(self, base: Mapping[str, Any] | None = None) -> CalceNetwork:
        """Return the network with its initial weights; adapters are drawn from torch's global generator.

        `base`: entry of the weights registry -> state dict, for every name of `config.base_weights`.

        Raises
        ------
        ValueError
            If `base` lacks an entry, or a file does not fit the configuration.
        """
        network = fill_network(CalceNetwork(self.config.network), base)
        if has_to_save(self.config, network):
            network.compute_again()
        return network

    def loss(self, network: Any, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the cross-entropy of the target's tokens, which is all of the loss as published; else its terms too.

        Terms are `answer`, that cross-entropy, and `contrast`, weighted as `train.contrast` says.
        """
        terms, weight = network(batch, self.select, self.config.train, epoch), self.config.train.contrast.weight
        if not weight:
            return {"total": terms["answer"]}
        return {"total": terms.get("answer", 0.0) + weight * terms["contrast"]} | terms

    def predict(self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False) -> list[Span]:
        """Return the windows of every query in the order of their starts, each with the whole answer as its text.

        Where an answer cannot be read the whole video stands for it, as published, and `is_readable` says so.
        A query on rows that are not finite has no answer. What is drawn depends on the query alone, not on `generator`.
        """
        prompts, found = network.prompts(batch, self.select), []
        is_sound = [bool(prompt.vectors.isfinite().all()) for prompt in prompts]
        sound = [prompt for prompt, fine in zip(prompts, is_sound, strict=True) if fine]
        answers = iter(network.answers(sound, self.config.decoding))
        for sample, fine in zip(batch["samples"], is_sound, strict=True):
            query_id, video_id = sample["query_id"], sample["video_id"]
            if not fine:
                log.warning("query %s: rows of video %s are not finite, there is no answer", query_id, video_id)
                found.append(Span(query_id, video_id, 0, None, None))
                continue
            answer = t5().decode(next(answers))
            read = parsing.read(answer, sample["duration_s"])
            found += [
                Span(query_id, video_id, rank, float(start), float(end), None, answer, read.is_readable)
                for rank, (start, end) in enumerate(read.windows)
            ]
        return found

    def parameter_groups(self, network: Any) -> list[dict[str, Any]]:
        """Return two groups of what learns: matrices, which are decayed, and the rest."""
        learning = [(published_name(name), p) for name, p in network.named_parameters() if p.requires_grad]
        decayed = [p for name, p in learning if p.ndim >= 2 and not any(part in name for part in UNDECAYED)]
        kept = {id(p) for p in decayed}
        rest = [p for _, p in learning if id(p) not in kept]
        return [
            {"params": decayed, "weight_decay": self.config.train.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]

    def optimiser(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW."""
        train = self.config.train
        return torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.betas, eps=train.eps)

    def schedule(self, optimiser: torch.optim.Optimizer, n_steps: int) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the published rate: it rises batch by batch, then falls epoch by epoch.

        It starts after the epochs of contrast alone, which have a rate of their own.

        Notes
        -----
        parity: the published code sets the rate before every batch; an optimiser step has that of its last one.
        """
        train = self.config.train
        steps_per_epoch = max(1, n_steps // train.epochs)
        rate = Schedule(
            train.learning_rate,
            train.min_learning_rate,
            train.epochs - train.contrast.epochs,
            train.warmup_queries // train.batch_size,
            train.warmup_learning_rate,
        )

        def factor(step: int) -> float:
            epoch, step_in_epoch = divmod(step, steps_per_epoch)
            if epoch < train.contrast.epochs:
                return train.contrast.learning_rate / train.learning_rate
            last_batch = (step_in_epoch + 1) * train.accumulation - 1
            n_batches = steps_per_epoch * train.accumulation
            return learning_rate(rate, epoch - train.contrast.epochs, last_batch, n_batches) / train.learning_rate

        return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)

    def import_checkpoint(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the network's state dict for a published checkpoint file or its state dict.

        Raises
        ------
        ValueError
            If one of the 872 trained tensors is missing or has another shape.
        """
        return trained_state(CalceNetwork(self.config.network), state)


def _row_width(config: Config) -> int:
    network = config.network
    if network.rows == "tokens":
        return network.vision.width
    if network.rows == "frames":
        return 3 * network.vision.image_size**2
    return network.qformer.queries * network.qformer.width


def _is_inside(times_s: Tensor, moments: np.ndarray) -> Tensor:
    """Return bool (T,), whether the frame at each time is within one of the moments (n, 2), seconds."""
    starts, ends = torch.from_numpy(moments.astype(np.float32)).T
    return ((times_s[:, None] >= starts) & (times_s[:, None] < ends)).any(dim=1)


def _seed_of(query_id: str) -> int:
    return int.from_bytes(hashlib.sha256(query_id.encode()).digest()[:7], "little")
