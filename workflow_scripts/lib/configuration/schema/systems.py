"""`config/systems/<name>.yaml`."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from workflow_scripts.lib.configuration.schema.section import Name, Section


class Stream(Section):
    """One input stream of a system: which features feed it."""

    names: tuple[Name, ...] = Field(description="features, in the order in which the system joins them", min_length=1)
    standardise: bool = Field(
        False, description="per-dimension zero mean and unit variance over the training split, cut at 5 deviations"
    )
    in_memory: bool = Field(
        True,
        description="read the rows of the splits that are used once and keep them as they are stored; false: read them "
        "from the store for every sample, for features larger than the memory",
    )

    @model_validator(mode="after")
    def _standardise_needs_all_rows(self) -> "Stream":
        if self.standardise and not self.in_memory:
            raise ValueError("standardise needs all rows of the training split; set in_memory: true or leave it out")
        return self


class Prior(Section):
    """The system that comes before this one in a chain, trained and asked on the same dataset with the same seed."""

    system: Name = Field(description="its file in config/systems/")
    weights: bool = Field(True, description="training starts from its checkpoint")
    answers: Literal["predicted", "annotated", "none"] = Field(
        "predicted",
        description="what this system is told of each query: the prior's own predictions, those that the annotation "
        "files bring along (`stage1_result`), for which the prior need not be trained, or nothing",
    )


class Queries(Section):
    """Which queries a system uses."""

    kinds: tuple[str, ...] | None = Field(None, description="only queries of these kinds; null: all")
    moments: Literal["raw", "clip", "clip_drop", "calce_round"] = Field(
        "clip", description="view of the annotated moments"
    )


HELD_OUT = "held_out"
BASELINE = "baseline"
"""The system that answers without looking: what others are shown beside."""


class Splits(Section):
    """Which split plays which part."""

    train: str = Field("train", description="trained on")
    select: str = Field(
        "val",
        description="the checkpoint is chosen on it; `held_out`: on videos that are kept out of the training split, "
        "for datasets without a validation split",
    )
    held_out: float = Field(
        0.1, gt=0, lt=1, description="share of the training videos for `select: held_out`; a hash of their ids decides"
    )
    test: tuple[str, ...] = Field(("test",), description="reported", min_length=1)


class Selection(Section):
    """Which checkpoint is kept and when training stops early."""

    rules: Name | None = Field(
        None, description="rule set that scores the select split; null: the first of `evaluation.rules`"
    )
    metric: tuple[str, ...] | str = Field(
        (), description="metric of the rule set, or several, which are added up; empty: its headline"
    )
    loss: tuple[str, ...] | str = Field(
        (), description="terms of the loss on the select split that are added up, instead of a metric (`total`: all)"
    )
    mode: Literal["max", "min"] | None = Field(
        None, description="whether more or less is better; null: as the metric says, less of a loss"
    )
    ties: Literal["first", "last"] = Field(
        "first", description="which of equally good checkpoints is kept; `last` is what IMG's published code does"
    )
    patience: PositiveInt | None = Field(None, description="epochs without improvement before stopping; null: never")
    every_epochs: PositiveInt = Field(1, description="epochs between evaluations")

    @field_validator("metric", "loss", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    def thresholds(self, reported: Sequence[float]) -> tuple[float, ...]:
        """Return the tIoU thresholds of R1 that are computed: those reported, and those of the metrics (`R1@0.6`)."""
        own = [name.partition("@")[2] for name in self.metric if name.startswith(("R1@", "R5@"))]
        return tuple(sorted({*reported, *(float(text) for text in own if text.replace(".", "", 1).isdigit())}))

    @model_validator(mode="after")
    def _metric_or_loss(self) -> "Selection":
        if self.loss and (self.metric or self.rules):
            raise ValueError("loss: chosen by losses, `rules` and `metric` have no meaning; leave them out")
        return self


class Given(Section):
    """What a later task is given of an earlier one: as annotated, or as the system answered it."""

    moments: Literal["annotated", "predicted"] = Field("annotated", description="moments that are cut into steps")
    steps: Literal["annotated", "predicted"] = Field("annotated", description="steps that are described")


class Evaluation(Section):
    """What is reported."""

    rules: tuple[Name, ...] | None = Field(
        None, description="rule sets, the first gives the headline numbers; null: those of the dataset", min_length=1
    )
    thresholds: tuple[float, ...] | None = Field(
        None, description="tIoU thresholds of R1 and R5; null: those of the dataset"
    )
    reversed: Literal["refuse", "miss"] | None = Field(
        None,
        description="a predicted span that ends before it starts is refused, or a miss; null: as in the dataset's "
        "`evaluation`",
    )
    batch_size: PositiveInt | None = Field(
        None,
        description="units per forward pass of predictions; null: as in training. Where a published protocol lets an "
        "answer depend on who shares its batch, another number is another protocol",
    )
    group_by: str | None = Field(None, description="also report by this field of the queries' extra data")
    zero_streams: tuple[Name, ...] = Field((), description="ablations: also report with this stream set to zero")
    variations: dict[Name, dict[str, Any] | None] = Field(
        default_factory=dict,
        description="also report the same checkpoint with these of `settings` changed: name -> settings; null, or what "
        "is set anyway: not reported",
    )
    order_baseline: bool = Field(
        False,
        description="also report the best answer that knows only a query's rank among the starts of its video's "
        "moments, learnt on the training split",
    )


class SystemRuntime(Section):
    """How a system is trained; precision and accumulation change numbers and belong to its settings."""

    threads: PositiveInt = Field(1, description="CPU threads of a process")
    processes: PositiveInt = Field(
        1,
        description="processes that share the batches of training, validation and predictions, each on a GPU of its "
        "own if there are GPUs; settings.train.accumulation must be a multiple of it. The weights stay those of one "
        "process up to rounding, the answers of a checkpoint exactly",
    )
    mem_mb: PositiveInt = Field(8000, description="memory, MB")
    gpu: NonNegativeInt = Field(0, description="GPUs; with several processes as many as those")
    runtime_min: PositiveInt = Field(1440, description="time limit on a cluster, minutes")
    num_workers: NonNegativeInt = Field(
        0,
        description="processes that make batches ahead, of a training and of predictions; numbers do not depend on it",
    )
    checkpoint_minutes: PositiveFloat = Field(10.0, description="minutes between resumable checkpoints")

    @property
    def all_threads(self) -> int:
        """Return the CPU threads of all processes of a training or prediction."""
        return self.threads * self.processes


class SystemOnDataset(Section):
    """What a system wants of one dataset."""

    annotations: Name | None = Field(
        None,
        description="dataset of the same videos whose queries and moments are used instead, e.g. `charades_tvr` (the "
        "other numbering of Charades-STA) on `charades`; null: its own",
    )
    corpus: Name | None = Field(
        None,
        description="dataset with more videos of the same folder, all of which are ranked: its features and "
        "annotations are read; null: the dataset itself",
    )


class System(Section):
    """`config/systems/<name>.yaml`."""

    title: str = Field(description="what a report calls it")
    system: Name = Field(description="a package of models/systems/")
    protocol: Literal["published", "clean"] = Field(
        "published",
        description="as published, quirks included, or `clean`: comparable and honest, which is what `CLEAN` in the "
        "system's config.py says; besides, the checkpoint is not chosen on a reported split",
    )
    streams: dict[Name, Stream] = Field(description="stream -> features")
    transcript: Name | None = Field(
        None, description="speech feature whose transcripts the system reads; null: it is told of no speech"
    )
    given: Given = Field(default_factory=Given)
    prior: Prior | None = Field(None, description="the system before this one in a chain; null: none")
    queries: Queries = Field(default_factory=Queries)
    splits: Splits = Field(default_factory=Splits)
    seeds: tuple[int, ...] = Field(
        (0,), description="one training per seed; metrics.json gives mean and spread", min_length=1
    )
    checkpoint_from: Name | None = Field(
        None, description="dataset whose trained checkpoint is used instead of training"
    )
    checkpoint_file: str | None = Field(
        None, description="published checkpoint (torch or safetensors file) that is imported instead of training"
    )
    published_inputs: tuple[Name, ...] = Field(
        (),
        description="features, transcripts and annotations that the published checkpoint was trained with; importing "
        "it with others warns",
    )
    datasets: dict[Name, SystemOnDataset] = Field(
        default_factory=dict, description="what the system wants of single datasets"
    )
    precision: Literal["no", "bf16", "fp16"] = Field(
        "no", description="mixed precision of training; fp16, whose loss is scaled, needs a GPU"
    )
    selection: Selection = Field(default_factory=Selection)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    settings: dict[str, Any] = Field(default_factory=dict, description="the system's own settings (its config.py)")
    runtime: SystemRuntime = Field(default_factory=SystemRuntime)

    def annotations_on(self, dataset: str) -> str:
        """Return the dataset whose annotations the system uses on `dataset`: mostly itself."""
        wanted = self.datasets.get(dataset)
        return (wanted and (wanted.annotations or wanted.corpus)) or dataset

    def videos_on(self, dataset: str) -> str:
        """Return the dataset whose videos' features the system reads on `dataset`: mostly its own."""
        wanted = self.datasets.get(dataset)
        return (wanted and wanted.corpus) or dataset
