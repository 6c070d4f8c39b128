"""The settings a person can write: types, units, defaults and meaning; the one source of `config/schemas/*.json`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Rate = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(\.[0-9]+|/[1-9][0-9]*)?$|^0\.[0-9]*[1-9][0-9]*$")]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Paths(Section):
    """Folders and programs of this machine; changing one recomputes nothing."""

    weights: str = Field("weights", description="folder of downloaded weights (names and sources: config/weights.yaml)")
    feature_cache: str | None = Field(
        None, description="folder of a content-addressed feature cache that several datasets or people share"
    )
    ffmpeg: str | None = Field(None, description="ffmpeg program to use instead of the one in the imageio-ffmpeg wheel")


class Root(Section):
    """`config/config.yaml`: what a user edits."""

    paths: Paths = Field(default_factory=Paths)
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where networks run")
    on_bad_video: Literal["fail", "skip"] = Field(
        "fail", description="`fail`: stop before any expensive work with the whole list; `skip`: go on without them"
    )
    strict_annotations: bool = Field(False, description="make flagged spans (past the end, reversed, empty) errors")
    videos_per_shard: PositiveInt = Field(64, description="used once, when a dataset is first seen")
    datasets: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of config/datasets/<name>.yaml"
    )
    features: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of config/features/<name>.yaml"
    )
    systems: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of config/systems/<name>.yaml"
    )


class DemoGenerator(Section):
    """Size of the embedded demo dataset."""

    seed: int = Field(0, description="seed of the event plan")
    train: PositiveInt = Field(100, description="videos")
    val: PositiveInt = Field(20, description="videos")
    test: PositiveInt = Field(30, description="videos")


class AnnotationSource(Section):
    """Where a dataset's annotations come from."""

    format: str = Field(description="a reader of workflow_scripts/datasets/")
    files: dict[Name, str] = Field(description="split -> annotation file (plain or .gz)", min_length=1)


class Dataset(Section):
    """`config/datasets/<name>.yaml`."""

    title: str = Field(description="what a report calls it")
    videos: str = Field(description="folder that holds <video id>.<extension>")
    extensions: tuple[str, ...] = Field(
        ("mp4", "mkv", "webm", "avi", "mov"), description="file name extensions, first match wins"
    )
    annotations: AnnotationSource
    generate: DemoGenerator | None = Field(None, description="make the videos and annotations instead of finding them")
    n_shards: PositiveInt | None = Field(
        None, description="fixed number of shards; default: annotated videos / videos_per_shard, frozen when first seen"
    )
    on_bad_video: Literal["fail", "skip"] | None = Field(None, description="as in config.yaml, for this dataset")
    features: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of feature files on this dataset"
    )
    systems: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of system files on this dataset"
    )


class FeatureBase(Section):
    """What every feature file has."""

    description: str = Field(description="one line for tables and reports")
    encoder: Name = Field(description="a module of models/encoders/")
    weights: str = Field(description="an entry of config/weights.yaml, or `random(SEED)`")
    params: dict[str, Any] = Field(default_factory=dict, description="the encoder's own settings")
    store_dtype: Literal["float16", "float32"] = Field("float16", description="type of the stored rows")
    runtime: "FeatureRuntime" = Field(
        default_factory=lambda: FeatureRuntime(), description="how to compute it; never changes the rows"
    )


class FeatureRuntime(Section):
    """How a feature is computed; nothing here changes its rows or recomputes them."""

    batch_size: PositiveInt = Field(64, description="network inputs per forward pass")
    threads: PositiveInt = Field(1, description="CPU threads of one job")
    mem_mb: PositiveInt = Field(4000, description="memory of one job, MB")
    gpu: NonNegativeInt = Field(0, description="GPUs of one job")
    runtime_min: PositiveInt = Field(120, description="time limit of one job on a cluster, minutes")


class Sampling(Section):
    """Which frames the network sees (rules: workflow_scripts/media/sampling.py)."""

    rule: Literal["ffmpeg_fps"] = Field("ffmpeg_fps", description="sampling rule")
    rate: Rate = Field(description="frames per second, exact: `2`, `0.5`, `30000/1001`")
    short_clip_guard: bool = Field(False, description="raise the rate for clips shorter than one slot (HERO)")


class Resize(Section):
    """How a frame becomes a square."""

    rule: Literal["squash", "hero"] = Field(
        description="`squash`: direct bilinear resize; `hero`: shorter side, bicubic, centre crop"
    )
    size: PositiveInt = Field(description="pixels")


class VisualFeature(FeatureBase):
    """Rows from sampled frames."""

    kind: Literal["visual"]
    sampling: Sampling
    resize: Resize


class Window(Section):
    """Sliding window over a waveform."""

    window_s: PositiveFloat = Field(description="seconds of sound that a row sees")
    hop_s: PositiveFloat = Field(description="seconds between rows")


class AudioFeature(FeatureBase):
    """Rows from a sliding window over the sound."""

    kind: Literal["audio"]
    sample_rate: PositiveInt = Field(description="Hz, mono")
    window: Window


class TextFeature(FeatureBase):
    """Rows from the words of a query: one per token, or one per query."""

    kind: Literal["text"]


class Stream(Section):
    """One input stream of a system: which features feed it."""

    names: tuple[Name, ...] = Field(description="features, in the order in which the system joins them", min_length=1)
    standardise: bool = Field(
        False, description="per-dimension zero mean and unit variance over the training split, cut at 5 deviations"
    )


class Queries(Section):
    """Which queries a system uses."""

    kinds: tuple[str, ...] | None = Field(None, description="only queries of these kinds; null: all")
    moments: Literal["raw", "clip", "clip_drop"] = Field("clip", description="view of the annotated moments")


class Splits(Section):
    """Which split plays which part."""

    train: str = Field("train", description="trained on")
    select: str = Field("val", description="the checkpoint is chosen on it")
    test: tuple[str, ...] = Field(("test",), description="reported")


class Selection(Section):
    """Which checkpoint is kept and when training stops early."""

    metric: str = Field("R1@0.7", description="metric of the select split, higher is better")
    patience: PositiveInt | None = Field(None, description="epochs without improvement before stopping; null: never")
    every_epochs: PositiveInt = Field(1, description="epochs between evaluations")


class Evaluation(Section):
    """What is reported."""

    thresholds: tuple[float, ...] = Field((0.3, 0.5, 0.7), description="tIoU thresholds of R1")
    group_by: str | None = Field(None, description="also report by this field of the queries' extra data")
    zero_streams: tuple[Name, ...] = Field((), description="ablations: also report with this stream set to zero")


class SystemRuntime(Section):
    """How a system is trained; precision and accumulation change numbers and belong to its settings."""

    threads: PositiveInt = Field(1, description="CPU threads")
    mem_mb: PositiveInt = Field(8000, description="memory, MB")
    gpu: NonNegativeInt = Field(0, description="GPUs")
    runtime_min: PositiveInt = Field(1440, description="time limit on a cluster, minutes")
    num_workers: NonNegativeInt = Field(0, description="data-loader worker processes")
    checkpoint_minutes: PositiveFloat = Field(10.0, description="minutes between resumable checkpoints")
    eval_batch_size: PositiveInt = Field(16, description="queries per forward pass outside training")


class System(Section):
    """`config/systems/<name>.yaml`."""

    title: str = Field(description="what a report calls it")
    system: Name = Field(description="a package of models/systems/")
    protocol: Literal["published", "clean"] = Field("published", description="as published, or comparable and honest")
    streams: dict[Name, Stream] = Field(description="stream -> features")
    queries: Queries = Field(default_factory=Queries)
    splits: Splits = Field(default_factory=Splits)
    seeds: tuple[int, ...] = Field(
        (0,), description="one training per seed; metrics.json gives mean and spread", min_length=1
    )
    checkpoint_from: Name | None = Field(
        None, description="dataset whose trained checkpoint is used instead of training"
    )
    precision: Literal["no", "bf16", "fp16"] = Field("no", description="mixed precision of training")
    selection: Selection = Field(default_factory=Selection)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    settings: dict[str, Any] = Field(default_factory=dict, description="the system's own settings (its config.py)")
    runtime: SystemRuntime = Field(default_factory=SystemRuntime)


class Weight(Section):
    """One entry of `config/weights.yaml`."""

    file: str = Field(description="file name under paths.weights, or path inside `package`")
    sha256: str = Field(description="64 hex digits, or `unverified`", pattern=r"^([0-9a-f]{64}|unverified)$")
    size: PositiveInt | None = Field(None, description="bytes")
    licence: str
    loader: str = Field(description="how the file is read")
    url: str | None = Field(None, description="official address; null for files that ship in a package")
    package: str | None = Field(None, description="installed Python package that carries the file")
