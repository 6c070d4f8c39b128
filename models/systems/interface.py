"""What a published system gives to the workflow, and what it is given.

A system is a package `models/systems/<name>/` with

- `config.py`: `Config`, a pydantic model (importable without torch) holding every hyper-parameter; and, if parts of the
  network come from published weights, `base_weights(config)`: their names in `config/weights.yaml`;
- `system.py`: `System`, a subclass of the class below.

A system that is trained by gradient steps has a section `train` in `Config`, in which the training loop finds
`TrainConfig`.

`config.py` may also have `CLEAN`, what `protocol: clean` means (setting, `network.pos_mode` for example, -> values that
are clean, the first of which is its preset), and `Config` the properties

- `fit_files`: settings that name an entry of the weights registry, or a file, that `fit` reads, -> what they name; jobs
  get paths;
- `tasks`: what it answers (`moments`, `highlights`, `steps`, `captions`, `videos`), in the order in which it is asked:
  later answers may be given earlier ones; `("moments",)` where it does not say;
- `captions_of`: what its captions describe, `videos`, `steps` or both;
- `learns`: False for a system that learns nothing, not even by `fit`: no split to learn from is read;
- `fits_on`: roles of the splits (`train`, `test`) whose queries `fit` needs; where `test` is one, their items follow
  those of training, without rows of features.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np

Batch = dict[str, Any]
"""Tensors, and plain lists for what only `predict` needs."""

SALIENCY_CLIP_S = 2.0
"""Length of the clips that are rated, and that saliency is answered for."""

# What is given


Places = slice | np.ndarray
"""Which rows: a slice of step 1, or their numbers, int64 (n,)."""


class Rows(Protocol):
    """Rows of one feature for one video or query. They may lie in a store: every `read` then reads what it asks for.

    Attributes
    ----------
    status : `ok`, `no_audio`, `no_speech` or `failed`
    n_rows : T, may be 0 (a video without sound, for example; `status` says why)
    times : float32 (T, 2), start and end second of every row
    """

    @property
    def status(self) -> str: ...

    @property
    def n_rows(self) -> int: ...

    @property
    def times(self) -> np.ndarray: ...

    def read(self, places: Places = slice(None)) -> np.ndarray:
        """Return the values of some rows, float32 (n, D), by default of all."""

    def part(self, start: int, stop: int) -> "Rows":
        """Return some of the rows."""


@dataclass(frozen=True)
class FeatureRows:
    """`Rows` whose values, float32 (T, D), are at hand."""

    values: np.ndarray
    times: np.ndarray
    status: str = "ok"

    @property
    def n_rows(self) -> int:
        """T."""
        return len(self.values)

    def read(self, places: Places = slice(None)) -> np.ndarray:
        """Return the values of some rows."""
        return self.values[places]

    def part(self, start: int, stop: int) -> "FeatureRows":
        """Return some of the rows."""
        return replace(self, values=self.values[start:stop], times=self.times[start:stop])


@dataclass(frozen=True)
class AnnotatedStep:
    """One step of a moment: seconds and heading."""

    start_s: float
    end_s: float
    heading: str


@dataclass(frozen=True)
class Annotated:
    """What the annotations say about an item; each part empty where nothing is annotated.

    Attributes
    ----------
    moments : float64 (n, 2), seconds, in the view that the system wants
    saliency : int64 (clips, raters), points of every clip; (0, 0) where nobody rated
    steps : of the moment, in their order
    captions : of the video
    """

    moments: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    saliency: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    steps: tuple[AnnotatedStep, ...] = ()
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What the workflow tells a system besides text and features.

    Attributes
    ----------
    is_training : whether the item is of the training split
    transcript : (start_s, end_s, text) of what is said in the video; None if the system reads no transcripts
    noun_phrases : those of the query, where a file gave them
    prior_spans : [start_s, end_s] of the answers of the system before it, best first; None if it has none
    moment : the moment (start_s, end_s) that is to be cut into steps, annotated or predicted (`given.moments`); None
        where none is given
    steps : the steps (start_s, end_s) that are to be described, likewise (`given.steps`); empty where none is given
    window_s : length of the windows of the video that are to be described one by one; None: the video as a whole
    """

    is_training: bool = False
    transcript: Sequence[tuple[float, float, str]] | None = None
    noun_phrases: tuple[str, ...] | None = None
    prior_spans: tuple[tuple[float, float], ...] | None = None
    moment: tuple[float, float] | None = None
    steps: tuple[tuple[float, float], ...] = ()
    window_s: float | None = None


@dataclass(frozen=True)
class Item:
    """One query on one video, or one video about which nothing is asked, as read from tables and feature stores.

    Attributes
    ----------
    id : of the query; of the video where there is no query
    video_id : of the video; None for a query that is asked of a whole corpus
    text : of the query; empty where there is none
    streams : stream name (`visual`, `audio`, `text`, ...) -> rows of each feature of that stream, in the order in
        which the system's configuration names them
    annotated, told : see there
    source : fields of the annotation file that the workflow does not know
    is_video : whether nothing is asked: the item is a video
    """

    id: str
    video_id: str | None
    text: str
    duration_s: float
    streams: Mapping[str, Sequence[Rows]]
    annotated: Annotated = field(default_factory=Annotated)
    told: Told = field(default_factory=Told)
    source: Mapping[str, Any] = field(default_factory=dict)
    is_video: bool = False


# What is answered. `variant` is empty for the answers of the system, `predictor:<name>` for those of a part of it; the
# workflow adds `zero:<stream>`, `variation:<name>` and `floor`.


@dataclass(frozen=True)
class Span:
    """One ranked span (seconds) for one query; ranks count from 0.

    `start_s` and `end_s` are None for an answer that could not be read; `is_readable` is False if they stand for such
    an answer instead.
    """

    task: ClassVar[str] = "moments"
    query_id: str
    video_id: str
    rank: int
    start_s: float | None
    end_s: float | None
    score: float | None = None
    text: str | None = None
    is_readable: bool = True
    variant: str = ""


@dataclass(frozen=True)
class Saliency:
    """Scores of the clips of a video for one query; the clips are `SALIENCY_CLIP_S` long."""

    task: ClassVar[str] = "highlights"
    query_id: str
    video_id: str
    scores: tuple[float, ...]
    variant: str = ""


@dataclass(frozen=True)
class Step:
    """One step (seconds) of the given moment of a query; steps count from 0.

    A moment in which no step was found has one row, of number 0, whose start and end are None.
    """

    task: ClassVar[str] = "steps"
    query_id: str
    video_id: str
    step_index: int
    start_s: float | None
    end_s: float | None
    variant: str = ""


@dataclass(frozen=True)
class Caption:
    """One ranked caption of a video (`query_id` is empty, `step_index` None) or of a given step of a query.

    Of a window of a video: `query_id` is empty, `step_index` the number of the window.
    """

    task: ClassVar[str] = "captions"
    query_id: str
    video_id: str
    step_index: int | None
    rank: int
    text: str
    score: float | None = None
    variant: str = ""


@dataclass(frozen=True)
class Ranked:
    """One video of the corpus for one query; ranks count from 0."""

    task: ClassVar[str] = "videos"
    query_id: str
    rank: int
    video_id: str
    score: float
    variant: str = ""


@dataclass(frozen=True)
class QueryScore:
    """A number that a system gives for a whole query, by its name."""

    query_id: str
    name: str
    value: float


Answer = Span | Saliency | Step | Caption | Ranked


class TrainConfig(Protocol):
    """What the training loop reads of a section `train`; whatever else it holds is the system's own.

    Attributes
    ----------
    epochs : passes over the training units
    batch_size : units per batch, in training and, unless others are asked for, in evaluation
    accumulation : batches per optimiser step
    clip_norm : largest global L2 norm of the gradient
    """

    epochs: int
    batch_size: int
    accumulation: int
    clip_norm: float


class System:
    """What the workflow trains and asks; a published system overrides what is its own.

    `fitted` is what a system learns from its training items before any gradient step (a vocabulary, for example):
    JSON-serialisable, stored with the checkpoint and handed back on loading. A system whose `Config` has no section
    `train` learns nothing else.
    """

    @classmethod
    def fit(cls, config: Any, items: Sequence[Item]) -> dict[str, Any]:
        """Return `fitted` from the training items."""
        return {}

    def __init__(self, config: Any, fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]]) -> None:
        """`stream_dims`: stream name -> width D of each of its features."""
        self.config, self.fitted = config, fitted
        self.stream_dims = {name: list(dims) for name, dims in stream_dims.items()}

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the system answers, as its configuration says."""
        return tasks_of(self.config)

    def skip_reason(self, item: Item, training: bool) -> str | None:
        """Return why an item cannot be used (`no_audio`, `no_moment`, ...), None if it can."""
        return None

    def units(self, items: Sequence[Item], task: str | None = None) -> list[Any]:
        """Return what `sample` takes in turn: an item, or a tuple or list of items and whatever tells them apart.

        `task` is what is asked; None while training. Asked for `videos`, the items are the prompts, then the videos of
        the corpus.
        """
        return list(items)

    def batches(self, units: Sequence[Any], size: int, rng: random.Random, epoch: int) -> list[list[int]] | None:
        """Return which units share a batch, as lists of their numbers; None: any, in random order.

        Asked once per epoch of training, counted from 0. Every epoch must have equally many batches.
        """
        return None

    def sample(self, unit: Any, rng: random.Random | None) -> dict[str, Any]:
        """Return one network input. `rng` draws what training draws at random; None for evaluation."""
        raise NotImplementedError

    def collate(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Return a padded batch.

        A batch of a system with several tasks may say its `task`, which the progress bar shows.
        """
        raise NotImplementedError

    def network(self, base: Mapping[str, Any] | None = None) -> Any:
        """Return the initialised `torch.nn.Module`; draws from torch's global generator.

        `base`: name -> state dict of what `base_weights` of `config.py` asks for.
        """
        raise NotImplementedError

    def loss(self, network: Any, batch: Batch, epoch: int) -> dict[str, Any]:
        """Return named scalar loss terms; `total` is the one that is minimised."""
        raise NotImplementedError

    def predict(
        self, network: Any, batch: Batch, generator: Any, task: str, in_detail: bool = False
    ) -> Sequence[Answer | QueryScore]:
        """Return the answers to everything that a batch asks; `generator` (torch) feeds what draws at evaluation.

        `in_detail`: also those of the system's parts, as variants `predictor:<name>`, and scores of queries.
        """
        raise NotImplementedError

    def skip_draws(self, n_units: int, generator: Any, task: str) -> bool:
        """Draw from `generator` what `predict` draws for a batch of so many units; False: that depends on its answers.

        So that several processes share the batches and draw what one process draws. By default nothing is drawn.
        """
        return True

    def parameter_groups(self, network: Any) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups."""
        return [{"params": list(network.parameters())}]

    def optimiser(self, groups: list[dict[str, Any]]) -> Any:
        """Return the torch optimiser."""
        raise NotImplementedError

    def schedule(self, optimiser: Any, n_steps: int) -> Any:
        """Return the learning-rate schedule, stepped once per optimiser step."""
        raise NotImplementedError

    def import_checkpoint(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the network's state dict for a published checkpoint; strict."""
        raise ValueError("there is no published checkpoint of this system")


def train_config(config: Any) -> TrainConfig | None:
    """Return how the system with a configuration is trained by gradient steps; None if it is not."""
    return getattr(config, "train", None)


def learns(config: Any) -> bool:
    """Return whether the system with a configuration learns anything, be it by `fit` alone."""
    return getattr(config, "learns", True)


def fits_on(config: Any) -> tuple[str, ...]:
    """Return the roles of the splits whose queries `fit` needs besides the items of training."""
    return getattr(config, "fits_on", ())


def tasks_of(config: Any) -> tuple[str, ...]:
    """Return what the system with a configuration answers."""
    return getattr(config, "tasks", ("moments",))


def captions_of(config: Any) -> tuple[str, ...]:
    """Return what the captions of the system with a configuration describe: `videos`, `steps` or both."""
    return getattr(config, "captions_of", ())


def at_hand(items: Sequence[Item]) -> list[Item]:
    """Return items with their rows read: for what looks at them several times. Rows that items share are read once."""
    read: dict[int, FeatureRows] = {}
    for rows in (rows for item in items for features in item.streams.values() for rows in features):
        if id(rows) not in read:
            read[id(rows)] = FeatureRows(rows.read(), rows.times, rows.status)
    return [
        replace(item, streams={name: [read[id(rows)] for rows in own] for name, own in item.streams.items()})
        for item in items
    ]


def by_video(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items of every video, videos in the order in which they first occur."""
    found: dict[str | None, list[Item]] = {}
    for item in items:
        found.setdefault(item.video_id, []).append(item)
    return list(found.values())
