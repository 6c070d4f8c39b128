"""What a published system gives to the training loop, and what it is given.

A system is a package `models/systems/<name>/` with

- `config.py`: `Config`, a pydantic model (importable without torch) holding every hyper-parameter; and, if parts of the
  network come from published weights, `base_weights(config)`: their names in `config/weights.yaml`;
- `system.py`: `System`, a class with the methods of the protocol below.

`config.py` may also have `CLEAN`, what `protocol: clean` means (setting, `network.pos_mode` for example, -> values that
are clean, the first of which is its preset), and `Config` the properties

- `fit_files`: settings that name an entry of the weights registry, or a file, that `fit` reads, -> what they name; jobs
  get paths;
- `fits_on`: roles of the splits (`train`, `test`) whose queries `fit` needs; where `test` is one, their items follow
  those of training, without rows of features.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class FeatureRows:
    """Rows of one feature for one video or query.

    Attributes
    ----------
    values : float32 (T, D), T may be 0 (a video without sound, for example; `status` says why)
    times : float32 (T, 2), start and end second of every row
    status : `ok`, `no_audio`, `no_speech` or `failed`
    """

    values: np.ndarray
    times: np.ndarray
    status: str = "ok"


@dataclass(frozen=True)
class Item:
    """One query on one video, as read from the canonical tables and the feature stores.

    Attributes
    ----------
    moments : float64 (n, 2), seconds, in the view that the system wants; empty where none is annotated
    extra : what the annotations say besides, `items` (noun phrases) among it; `transcript`, (start_s, end_s, text) of
        what is said in the video, if the system reads transcripts; `prior_spans`, [start_s, end_s] of the answers of
        the system before it, best first, if it has one; `is_training`, whether the query is of the training split
    streams : stream name (`visual`, `audio`, `text`, ...) -> rows of each feature of that stream, in the order in
        which the system's configuration names them
    """

    query_id: str
    video_id: str
    text: str
    duration_s: float
    moments: np.ndarray
    streams: Mapping[str, Sequence[FeatureRows]]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """One ranked span (seconds) for one query; ranks count from 0.

    `start_s` and `end_s` are None for an answer that could not be read; `is_readable` is False if they stand for such
    an answer instead.
    """

    query_id: str
    video_id: str
    rank: int
    start_s: float | None
    end_s: float | None
    score: float | None = None
    text: str | None = None
    is_readable: bool = True


class System(Protocol):
    """What the loop in `workflow_scripts.lib.training` runs.

    `fitted` is what a system learns from its training items before any gradient step (a vocabulary, for example):
    JSON-serialisable, stored with the checkpoint and handed back on loading.

    Attributes
    ----------
    joins_queries : whether `sample` takes the list of all items of a video, which are answered together, instead of
        one item; a batch then counts videos
    """

    joins_queries: bool

    @classmethod
    def fit(cls, config: Any, items: Sequence[Item]) -> dict[str, Any]:
        """Return `fitted` from the training items."""

    def __init__(self, config: Any, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        """`stream_dims`: stream name -> width D of each of its features."""

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used (`no_audio`, `no_moment`, ...), None if it can."""

    def sample(self, item: Any, rng: random.Random | None) -> dict[str, Any]:
        """Return one network input of an item, or of a list of them (`joins_queries`).

        `rng` draws what training draws at random; None for evaluation.
        """

    def collate(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a padded batch (tensors, and plain lists for what only `predict` needs)."""

    def network(self, base: Mapping[str, Any] | None = None) -> Any:
        """Return the initialised `torch.nn.Module`; draws from torch's global generator.

        `base`: name -> state dict of what `base_weights` of `config.py` asks for.
        """

    def loss(self, network: Any, batch: dict[str, Any], epoch: int) -> dict[str, Any]:
        """Return named scalar loss terms; `total` is the one that is minimised."""

    def predict(self, network: Any, batch: dict[str, Any], generator: Any) -> list[Prediction]:
        """Return the ranked spans of every query of the batch; `generator` (torch) feeds what draws at evaluation."""

    def details(
        self, network: Any, batch: dict[str, Any], generator: Any
    ) -> tuple[dict[str, list[Prediction]], dict[str, list[float]]]:
        """Return what is reported beside the answers; systems with nothing to add have no such method.

        Spans by the name of each predictor, and scores of the queries of the batch, in order, by the name of each
        score. Drawn as in `predict`.
        """

    def parameter_groups(self, network: Any) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups."""

    def optimiser(self, groups: list[dict[str, Any]]) -> Any:
        """Return the torch optimiser."""

    def schedule(self, optimiser: Any, n_steps: int) -> Any:
        """Return the learning-rate schedule, stepped once per optimiser step."""

    def import_checkpoint(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the network's state dict for a published checkpoint; strict."""
