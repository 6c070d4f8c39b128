"""The settings a person can write: types, units, defaults and meaning; the one source of `config/schemas/*.json`."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

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
    yt_dlp: str = Field("yt-dlp", description="yt-dlp program, for videos of YouTube; only needed to fetch those")
    ffmpeg: str | None = Field(None, description="ffmpeg program to use instead of the one in the imageio-ffmpeg wheel")


class Root(Section):
    """`config/config.yaml`: what a user edits."""

    paths: Paths = Field(default_factory=Paths)
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where networks run")
    on_bad_video: Literal["fail", "skip"] = Field(
        "fail", description="`fail`: stop before any expensive work with the whole list; `skip`: go on without them"
    )
    strict_annotations: bool = Field(False, description="make flagged spans (past the end, reversed, empty) errors")
    youtube_height: PositiveInt = Field(
        480, description="largest height of videos that are fetched from YouTube, pixels"
    )
    needed_by: str | None = Field(
        None, description="a target such as results/qvh/img/metrics.json: list only what it needs (`snakemake weights`)"
    )
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


Sha256 = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64}|unverified)$")]
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]


class Published(Section):
    """Where a file is published and how it is checked."""

    licence: str = Field(description="terms under which its publishers give it away")
    sha256: Sha256 = Field("unverified", description="64 hex digits, or `unverified`")
    size: PositiveInt | None = Field(None, description="bytes, exact")
    about: str | None = Field(None, description="size for people where the exact one is not known: `55 GB`")
    url: Address | None = Field(None, description="official address that a program may use")
    page: str | None = Field(None, description="page for people: a login, a form, a cloud drive, or an explanation")


class Download(Published):
    """One file or archive that the publishers of a dataset offer; what lies in its place already is never fetched."""

    to: str = Field(description="the file, or the folder for the content of an archive; relative to the working folder")
    unpack: Literal["tree", "flat"] | None = Field(
        None,
        description="for archives: keep its folders (`tree`), or put all files directly into `to` (`flat`); null: a "
        "single file, fetched when something needs it",
    )
    archive: str | None = Field(None, description="name of the archive file; null: the end of the address")

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.url is None and self.page is None:
            raise ValueError("needs a `url`, or a `page` that tells a person where to get it")
        if self.to.startswith("/") or ".." in self.to.split("/") or self.to != self.to.strip("/"):
            raise ValueError("`to` is a path below the working folder, such as data/qvh/videos")
        if self.unpack and not self.archive_name:
            raise ValueError("the address does not end with a file name; add `archive: <name of the archive file>`")
        return self

    @property
    def archive_name(self) -> str:
        """Return the name of the archive file."""
        return self.archive or (self.url or "").partition("?")[0].rpartition("/")[2]

    @property
    def archive_place(self) -> str:
        """Return where a person may put the archive: beside the folder."""
        return f"{self.to.rpartition('/')[0] or '.'}/{self.archive_name}"


class BenchmarkEvaluation(Section):
    """How predictions on this dataset are scored."""

    rules: tuple[Name, ...] = Field(
        ("span_index",),
        description="rule sets (docs/metrics.md), the first gives the headline; a system's file may name others",
        min_length=1,
    )
    thresholds: tuple[float, ...] = Field((0.3, 0.5, 0.7), description="tIoU thresholds of R1 and R5")
    nms_thresholds: dict[Name, float] = Field(
        default_factory=dict,
        description="rule set -> tIoU above which the span with the lower score is dropped; 0.5 where not named",
    )


class ExternalPredictions(Section):
    """A prediction file that somebody brings, in the benchmark's submission format (docs/metrics.md)."""

    file: str = Field(description="the prediction file (plain or .gz)")
    split: str = Field(description="the split that it is about")
    rules: tuple[Name, ...] | None = Field(None, description="rule sets; null: those of the dataset", min_length=1)
    title: str = Field("", description="what tables call it; default: its name")
    allow_missing: bool = Field(False, description="score the queries that both sides have, instead of refusing")
    empty_as_miss: bool = Field(False, description="count a query that was answered with nothing as missed")
    clip: bool = Field(False, description="cut predicted spans to the video first")


class Dataset(Section):
    """`config/datasets/<name>.yaml`."""

    title: str = Field(description="what a report calls it")
    videos: str = Field(description="folder that holds <video id>.<extension>")
    extensions: tuple[str, ...] = Field(
        ("mp4", "mkv", "webm", "avi", "mov", "m4v", "mpg", "mpeg", "wmv", "flv"),
        description="file name extensions in small or capital letters; the first that is there wins",
    )
    annotations: AnnotationSource
    downloads: dict[Name, Download] = Field(default_factory=dict, description="what can be fetched (docs/datasets.md)")
    on_youtube: bool = Field(False, description="the videos can be fetched from YouTube, by their ids")
    generate: DemoGenerator | None = Field(None, description="make the videos and annotations instead of finding them")
    query_audio: str | None = Field(None, description="folder that holds the sound files of spoken queries")
    n_shards: PositiveInt | None = Field(
        None, description="fixed number of shards; default: annotated videos / videos_per_shard, frozen when first seen"
    )
    on_bad_video: Literal["fail", "skip"] | None = Field(None, description="as in config.yaml, for this dataset")
    evaluation: BenchmarkEvaluation = Field(default_factory=BenchmarkEvaluation)
    external: dict[Name, ExternalPredictions] = Field(
        default_factory=dict, description="prediction files to score, by name: results/<dataset>/external/<name>/"
    )
    features: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of feature files on this dataset"
    )
    systems: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of system files on this dataset"
    )


class FeatureBase(Section):
    """What every feature file has."""

    description: str = Field(description="one line for tables and reports")
    dim: PositiveInt | None = Field(None, description="values per row, for the table in docs/encoders.md")
    used_by: str | None = Field(None, description="who reads such rows, for the table in docs/encoders.md")
    store_dtype: Literal["float16", "float32"] = Field("float16", description="type of the stored rows")
    runtime: "FeatureRuntime" = Field(
        default_factory=lambda: FeatureRuntime(), description="how to compute it; never changes the rows"
    )


class FeatureRuntime(Section):
    """How a feature is computed; nothing here changes its rows or recomputes them."""

    batch_size: PositiveInt = Field(64, description="network inputs per forward pass")
    threads: PositiveInt = Field(1, description="CPU threads of one job")
    decoder: Literal["auto", "pyav", "ffmpeg", "nvdec"] = Field(
        "auto",
        description="visual features: who decodes; the frames are the same. `nvdec`: the decoder of an NVIDIA GPU",
    )
    decode_workers: PositiveInt = Field(
        1, description="videos that are decoded at the same time while the network computes"
    )
    mem_mb: PositiveInt = Field(4000, description="memory of one job, MB")
    gpu: NonNegativeInt = Field(0, description="GPUs of one job")
    runtime_min: PositiveInt = Field(120, description="time limit of one job on a cluster, minutes")


class ExtractedFeature(FeatureBase):
    """What every feature that is computed here has."""

    encoder: Name = Field(description="a module of models/encoders/")
    weights: str = Field(description="an entry of config/weights.yaml, `random(SEED)`, or `none`")
    more_weights: dict[Name, str] = Field(
        default_factory=dict,
        description="weights of further networks that the encoder knows by name (`raft` of i3d, `pca` of c3d), as in "
        "`weights`",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="the encoder's own settings")


SAMPLING_OPTIONS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "ffmpeg_fps": (frozenset({"rate"}), frozenset({"short_clip_guard"})),
    "seek_per_second": (frozenset(), frozenset({"rate"})),
    "lavis_head": (frozenset({"n_frames"}), frozenset()),
    "lavis_uniform": (frozenset({"n_frames"}), frozenset()),
    "linspace": (frozenset({"n_frames"}), frozenset()),
    "linspace_clip": (frozenset({"n_frames"}), frozenset()),
    "hero_clips": (frozenset(), frozenset({"clip_s", "end"})),
    "windows": (frozenset({"window"}), frozenset({"stride", "tail", "skip_last", "block", "rate"})),
    "i3d_chunks": (frozenset(), frozenset({"rate"})),
}
"""Sampling rule -> options that it needs, and options that it may have."""


class Sampling(Section):
    """Which frames the network sees (rules: workflow_scripts/media/sampling.py)."""

    rule: Literal[
        "ffmpeg_fps",
        "seek_per_second",
        "lavis_head",
        "lavis_uniform",
        "linspace",
        "linspace_clip",
        "hero_clips",
        "windows",
        "i3d_chunks",
    ] = Field(
        "ffmpeg_fps",
        description="sampling rule; one frame per row: `ffmpeg_fps` (slot centres), `seek_per_second` (starts of "
        "seconds), `lavis_head`, `lavis_uniform`, `linspace` (a fixed number); several: `hero_clips` (SlowFast), "
        "`windows`, `i3d_chunks`, `linspace_clip` (one row of a fixed number of frames)",
    )
    rate: Rate | None = Field(
        None,
        description="frames per second, exact: `2`, `0.5`, `30000/1001`; for `windows` and `i3d_chunks`: of the "
        "frames that they run over, null: all frames",
    )
    short_clip_guard: bool = Field(False, description="raise the rate for clips shorter than one slot (HERO)")
    n_frames: PositiveInt | None = Field(
        None, description="`lavis_*`, `linspace`: rows per video; `linspace_clip`: frames of its row"
    )
    clip_s: Rate = Field("2", description="`hero_clips`: seconds per row, exact: `2`, `3/2`")
    end: Literal["float", "int"] = Field(
        "float", description="`hero_clips`: rounding of a clip's last frame, `float` as HERO, `int` as lighthouse"
    )
    window: PositiveInt | None = Field(None, description="`windows`: frames per row")
    stride: PositiveInt | None = Field(None, description="`windows`: frames between rows; null: the window")
    tail: Literal["drop", "shift_back", "pad"] = Field(
        "drop", description="`windows`: what happens to a window that does not fit"
    )
    skip_last: bool = Field(False, description="`windows`: never use the last frame (VSLNet, video_features)")
    block: PositiveInt | None = Field(None, description="`windows`: longer videos restart the grid (VSLNet: 10000)")

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        needed, allowed = SAMPLING_OPTIONS[self.rule]
        missing = [name for name in sorted(needed) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"rule {self.rule} needs {', '.join(missing)}")
        known = needed | allowed
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        foreign = sorted(n for n in self.model_fields_set - known - {"rule"} if getattr(self, n) != defaults[n])
        if foreign:
            raise ValueError(f"rule {self.rule} has no option {foreign[0]}; it has {', '.join(sorted(known))}")
        return self

    @model_serializer(mode="wrap")
    def _only_own_options(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        needed, allowed = SAMPLING_OPTIONS[self.rule]
        own = needed | allowed | {"rule"}
        return {key: value for key, value in handler(self).items() if key in own and value is not None}


class Resize(Section):
    """How a frame becomes a square (rules: workflow_scripts/media/resize.py)."""

    rule: Literal[
        "squash",
        "hero",
        "clip_pil",
        "vf_i3d",
        "vf_i3d_whole",
        "vslnet_charades",
        "vslnet_shortside",
        "c3d",
    ] = Field(
        description="`squash`: direct bilinear resize; the others cut the centre "
        "out, after `hero`: bicubic (ffmpeg), `clip_pil`: bicubic (Pillow), `vf_i3d`: bilinear (Pillow) to 8/7 of the "
        "size (`vf_i3d_whole`: without the cut, for optical flow), `vslnet_charades`: bilinear (OpenCV), only "
        "enlarges, `vslnet_shortside`: bilinear (OpenCV); all keep the aspect ratio but `squash` and `c3d`: bilinear "
        "(OpenCV) to 171 x 128 for a size of 112"
    )
    size: PositiveInt = Field(description="pixels")
    jpeg_roundtrip: bool = Field(
        False, description="write and read every frame as JPEG first, as HiREST did; not with `squash` and `hero`"
    )

    @model_validator(mode="after")
    def _check_jpeg(self) -> Self:
        if self.jpeg_roundtrip and self.rule in ("squash", "hero"):
            raise ValueError(f"rule {self.rule} has no jpeg_roundtrip; clip_pil has")
        return self

    @model_serializer(mode="wrap")
    def _without_jpeg_unless_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "jpeg_roundtrip" or value}


ImageName = Annotated[str, StringConstraints(pattern=r"^[^{}/]*(\{video_id\}[^{}/]*)?\{frame\}[^{}/]*$")]


class Images(Section):
    """Frames that lie as numbered images in folders, one folder per video, instead of those of the video file."""

    path: str = Field(description="folder that holds a folder <video id> for every video")
    files: tuple[ImageName, ...] = Field(
        description="file name of a frame, such as `img_{frame}.jpg` or `{video_id}-{frame}.jpg`; two of them, x and "
        "y, for optical flow: `[flow_x_{frame}.jpg, flow_y_{frame}.jpg]`. Numbers run from 0 or 1 without a gap",
        min_length=1,
        max_length=2,
    )
    rate: Rate = Field(description="frames per second at which the images were taken from the video, exact")


class VisualFeature(ExtractedFeature):
    """Rows from sampled frames."""

    kind: Literal["visual"]
    sampling: Sampling
    resize: Resize | None = Field(description="null: frames keep their size, for encoders that resize in floats")
    images: Images | None = Field(
        None, description="folders of images that the frames come from; null: they are decoded from the videos"
    )

    @model_validator(mode="after")
    def _check_images(self) -> Self:
        if self.images is None or self.resize is None:
            return self
        if self.resize.rule in ("squash", "hero"):
            raise ValueError(f"resize: rule {self.resize.rule} is not for images; try clip_pil or vslnet_shortside")
        if self.resize.jpeg_roundtrip and len(self.images.files) == 2:
            raise ValueError("resize: jpeg_roundtrip is not for flow images")
        return self

    @model_serializer(mode="wrap")
    def _without_images_unless_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "images" or value is not None}


class Window(Section):
    """Sliding window over a waveform."""

    window_s: PositiveFloat = Field(description="seconds of sound that a row sees")
    hop_s: PositiveFloat = Field(description="seconds between rows")
    align: Literal["centre", "start"] = Field(
        "centre", description="whether a window is centred on its row or starts with it"
    )
    tail: Literal["pad", "drop"] = Field(
        "pad", description="`pad`: rows cover the video, with silence around the sound; `drop`: only whole windows"
    )


class AudioFeature(ExtractedFeature):
    """Rows from a sliding window over the sound."""

    kind: Literal["audio"]
    sample_rate: PositiveInt = Field(description="Hz")
    channels: Literal["mono", "all"] = Field(
        "mono", description="`all`: keep them, for encoders that treat stereo in their own way (LanguageBind, BEATs)"
    )
    resampler: Literal["ffmpeg", "soxr_hq", "kaiser_best", "sinc_hann"] = Field(
        "ffmpeg",
        description="`soxr_hq` as librosa (published PANNs features), `kaiser_best` as torchvggish, `sinc_hann` as "
        "torchaudio (LanguageBind, UniQ4Cap)",
    )
    window: Window | None = Field(None, description="null: the encoder sees the whole sound at once")

    @model_serializer(mode="wrap")
    def _without_channels_unless_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "channels" or value != "mono"}


class TextFeature(ExtractedFeature):
    """Rows from the words of a query: one per token, or one per query."""

    kind: Literal["text"]


class TranscriptFeature(ExtractedFeature):
    """Rows of a video from the lines of its transcript, one per line, or laid on its seconds or clips."""

    kind: Literal["transcript"]
    of: Name = Field(description="the speech feature that makes the transcripts")
    align: Literal["segments", "seconds", "clips"] = Field(
        "segments",
        description="`segments`: a row per line; `seconds`: per second, as HiREST; `clips`: per `clip_s`, lines "
        "weighted by time; videos without speech have no rows",
    )
    clip_s: PositiveFloat | None = Field(None, description="`clips`: seconds per row")

    @model_validator(mode="after")
    def _check_clip(self) -> Self:
        if (self.align == "clips") != (self.clip_s is not None):
            raise ValueError("`align: clips` needs clip_s, the other ways have none")
        return self


class SpokenFeature(ExtractedFeature):
    """One row per spoken query, from its sound file."""

    kind: Literal["spoken"]
    sample_rate: PositiveInt = Field(description="Hz, mono")
    resampler: Literal["ffmpeg", "soxr_hq", "kaiser_best"] = Field("soxr_hq", description="as of audio features")


class SpeechFeature(ExtractedFeature):
    """Transcripts of the videos' sound: segments with times, in results/<dataset>/transcripts/<feature>/."""

    kind: Literal["speech"]


class ImportedFeature(FeatureBase):
    """Rows from feature files that somebody published; nothing is computed."""

    kind: Literal["visual", "audio", "text"] = Field(
        description="`visual`, `audio`: rows of a video; `text`: rows of a query"
    )
    source: Literal["import"] = Field(description="what makes it an imported feature")
    path: str = Field(description="folder with a file per video (or query), or the one file or database for all")
    layout: Literal["npy", "npz", "pt", "pickle_dict", "hdf5", "lmdb"] = Field(
        description="form of the source; `hdf5`: whether `path` is a folder or a file tells which of the two it is; "
        "`pickle_dict`: one file, a dict of arrays"
    )
    id_pattern: str = Field(
        description="file below `path`, or entry in it, of a video: `{video_id}.npy`; of a query: "
        "`qid{source_query_id}.npz`"
    )
    key: str | None = Field(
        None, description="array in an npz, hdf5 file or entry, or dict of a pt file; null: the only one"
    )
    times: PositiveFloat | Literal["proportional"] | None = Field(
        None, description="seconds per row, or `proportional`: rows spread over the annotated duration; text has none"
    )
    tolerance_s: PositiveFloat | None = Field(
        None, description="difference of rows x seconds per row from the duration that is reported; null: two rows"
    )
    on_wrong_length: Literal["report", "fail"] = Field(
        "report", description="`fail`: a video over the tolerance gets no rows and the status `failed`"
    )

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if (self.times is None) != (self.kind == "text"):
            needs = "text has rows of words, no times" if self.kind == "text" else "add seconds per row, `times: 2.0`"
            raise ValueError(f"kind {self.kind} and times {self.times}: {needs}")
        return self

    @property
    def weights(self) -> str:
        """No network, no weights."""
        return "none"


class Stream(Section):
    """One input stream of a system: which features feed it."""

    names: tuple[Name, ...] = Field(description="features, in the order in which the system joins them", min_length=1)
    standardise: bool = Field(
        False, description="per-dimension zero mean and unit variance over the training split, cut at 5 deviations"
    )


class Queries(Section):
    """Which queries a system uses."""

    kinds: tuple[str, ...] | None = Field(None, description="only queries of these kinds; null: all")
    moments: Literal["raw", "clip", "clip_drop", "calce_round"] = Field(
        "clip", description="view of the annotated moments"
    )


class Splits(Section):
    """Which split plays which part."""

    train: str = Field("train", description="trained on")
    select: str = Field("val", description="the checkpoint is chosen on it")
    test: tuple[str, ...] = Field(("test",), description="reported", min_length=1)


class Selection(Section):
    """Which checkpoint is kept and when training stops early."""

    metric: str = Field("R1@0.7", description="metric of the select split, higher is better")
    patience: PositiveInt | None = Field(None, description="epochs without improvement before stopping; null: never")
    every_epochs: PositiveInt = Field(1, description="epochs between evaluations")


class Evaluation(Section):
    """What is reported."""

    rules: tuple[Name, ...] | None = Field(
        None, description="rule sets, the first gives the headline numbers; null: those of the dataset", min_length=1
    )
    thresholds: tuple[float, ...] | None = Field(
        None, description="tIoU thresholds of R1 and R5; null: those of the dataset"
    )
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


class SystemOnDataset(Section):
    """What a system wants of one dataset."""

    annotations: Name | None = Field(
        None,
        description="dataset of the same videos whose queries and moments are used instead, e.g. `charades_tvr` (the "
        "other numbering of Charades-STA) on `charades`; null: its own",
    )


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
    datasets: dict[Name, SystemOnDataset] = Field(
        default_factory=dict, description="what the system wants of single datasets"
    )
    precision: Literal["no", "bf16", "fp16"] = Field("no", description="mixed precision of training")
    selection: Selection = Field(default_factory=Selection)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    settings: dict[str, Any] = Field(default_factory=dict, description="the system's own settings (its config.py)")
    runtime: SystemRuntime = Field(default_factory=SystemRuntime)

    def annotations_on(self, dataset: str) -> str:
        """Return the dataset whose annotations the system uses on `dataset`: mostly itself."""
        wanted = self.datasets.get(dataset)
        return (wanted and wanted.annotations) or dataset


class Weight(Published):
    """One entry of `config/weights.yaml`."""

    file: str = Field(description="file name under paths.weights, or path inside `package`")
    sha256: Sha256 = Field(description="64 hex digits, or `unverified`")
    loader: str = Field(description="how the file is read")
    source: str | None = Field(None, description="where a person gets a file that has no address to download from")
    package: str | None = Field(None, description="installed Python package that carries the file")
    parts: tuple[Name, ...] = Field((), description="other entries that are needed beside this one, such as a PCA")


class PublishedRow(Section):
    """One row of a published table."""

    system: str = Field(description="what the publication calls it, with the variant")
    datasets: tuple[Name, ...] = Field(description="datasets whose split holds the same queries", min_length=1)
    split: str | None = Field(description="split, as the dataset's file calls it; null: not stated")
    rules: Name | None = Field(description="rule set that the numbers follow; null: none of ours")
    features: str | None = Field(None, description="what the system sees; null: not stated")
    metrics: dict[str, float] = Field(description="numbers as published, in percent", min_length=1)
    source: str = Field(description="paper, repository and table")


class PublishedResults(Section):
    """`config/published.yaml`."""

    rows: tuple[PublishedRow, ...]
