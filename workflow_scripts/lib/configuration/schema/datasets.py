"""`config/datasets/<name>.yaml`."""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from workflow_scripts.lib.configuration.schema.published import Download
from workflow_scripts.lib.configuration.schema.section import Name, Rate, Section
from workflow_scripts.lib.metrics.scored import OptionalMetric, Options

NO_ANNOTATIONS = "folder"
"""Format of a dataset whose annotations are the list of its videos."""


class DemoGenerator(Section):
    """Size of the embedded demo dataset."""

    seed: int = Field(0, description="seed of the event plan")
    train: PositiveInt = Field(100, description="videos")
    val: PositiveInt = Field(20, description="videos")
    test: PositiveInt = Field(30, description="videos")


class AnnotationSource(Section):
    """Where a dataset's annotations come from."""

    format: str = Field(
        NO_ANNOTATIONS,
        description="a reader of workflow_scripts/lib/datasets/readers/; `folder`: no annotations, every video of the "
        "folder and its subfolders counts",
    )
    files: dict[Name, str] = Field(
        default_factory=dict, description="split -> annotation file (plain or .gz); none for `folder`"
    )
    split: Name = Field("test", description="split of the videos of a `folder`")
    items: tuple[str, ...] = Field(
        (),
        description="files with noun phrases of the queries in a form of CALCE, or their other wordings in that of "
        "VTG-GPT (docs/datasets.md)",
    )
    durations_of: Name | None = Field(
        None,
        description="an imported feature with seconds per row: its rows tell the durations that the files leave open, "
        "where there are no videos to ask",
    )
    only_splits: tuple[Name, ...] | None = Field(
        None,
        description="leave out what belongs to other splits, and their videos, e.g. `[val]` to score a checkpoint "
        "without extracting the training videos; null: all",
        min_length=1,
    )

    @model_validator(mode="after")
    def _files_belong_to_a_format(self) -> "AnnotationSource":
        if self.is_listing and self.files:
            raise ValueError(f"the format {NO_ANNOTATIONS!r} has no `files`; name the format of these")
        if not (self.is_listing or self.files):
            raise ValueError(f"the format {self.format!r} needs `files`: the annotation file of every split")
        return self

    @property
    def is_listing(self) -> bool:
        """Return whether the videos that are there are all that is known."""
        return self.format == NO_ANNOTATIONS


class DatasetSplits(Section):
    """Which split of a dataset plays which part, for every system that does not say otherwise."""

    train: str | None = Field(None, description="trained on; null: `train`")
    select: str | None = Field(
        None,
        description="the checkpoint is chosen on it; null: `val`. With `protocol: clean` a reported one is replaced by "
        "`held_out`, videos that are kept out of the training split",
    )
    test: tuple[str, ...] | None = Field(None, description="reported; null: `[test]`", min_length=1)


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
    empty_windows: Literal["published", "identical"] = Field(
        Options.empty_windows,
        description="two windows without length under qvhighlights, lighthouse and calce: as in the published code (a "
        "hit in mAP wherever they are, a miss in R1), or equal only if they are identical",
    )
    reversed: Literal["refuse", "miss"] = Field(
        Options.reversed,
        description="a span that ends before it starts: refused, or a miss, as in the published code of HiREST; in a "
        "file of predictions its rule sets alone take it",
    )
    match_number: bool = Field(
        Options.match_number,
        description="refuse predictions that are not about all queries of the split, and no others, under qvhighlights "
        "and lighthouse; false: score the queries that both sides have",
    )
    also: tuple[OptionalMetric, ...] = Field(
        (), description="further metrics of captions, each with a model that is downloaded first (docs/metrics.md)"
    )
    pictures: str | None = Field(
        None, description="folder with a folder of numbered pictures for every video, for CLIPScore"
    )

    @model_validator(mode="after")
    def _clipscore_needs_pictures(self) -> "BenchmarkEvaluation":
        if "CLIPScore" in self.also and self.pictures is None:
            raise ValueError("`also: [CLIPScore]` needs `pictures`, the folder with the pictures of the videos")
        return self


_AS_DATASET = "as in the dataset's `evaluation`; null: what is said there"


class ExternalPredictions(Section):
    """A prediction file that somebody brings, in the benchmark's submission format (docs/metrics.md)."""

    file: str = Field(description="the prediction file (plain or .gz)")
    split: str = Field(description="the split that it is about")
    rules: tuple[Name, ...] | None = Field(None, description="rule sets; null: those of the dataset", min_length=1)
    title: str = Field("", description="what tables call it; default: its name")
    allow_missing: bool = Field(False, description="score the queries that both sides have, instead of refusing")
    empty_as_miss: bool = Field(False, description="count a query that was answered with nothing as missed")
    clip: bool = Field(False, description="cut predicted spans to the video first")
    empty_windows: Literal["published", "identical"] | None = Field(None, description=_AS_DATASET)
    reversed: Literal["refuse", "miss"] | None = Field(None, description=_AS_DATASET)
    match_number: bool | None = Field(None, description=_AS_DATASET)
    also: tuple[OptionalMetric, ...] | None = Field(None, description=_AS_DATASET)


class PlausibleMedia(Section):
    """What is believed of a video; a file with a wrong clock states more and is unusable."""

    gap_s: PositiveFloat = Field(3600.0, description="longest time without a picture")
    duration_s: PositiveFloat = Field(172800.0, description="longest video")
    pixels: PositiveInt = Field(2**27, description="largest picture, width times height")


class Dataset(Section):
    """`config/datasets/<name>.yaml`."""

    title: str = Field(description="what a report calls it")
    videos: str = Field(description="folder that holds <video id>.<extension>; an id may begin with subfolders")
    extensions: tuple[str, ...] = Field(
        ("mp4", "mkv", "webm", "avi", "mov", "m4v", "mpg", "mpeg", "wmv", "flv"),
        description="file name extensions in order of preference, in small or capital letters; those of other videos "
        "come after them",
    )
    plausible: PlausibleMedia = Field(
        default_factory=PlausibleMedia, description="videos that state more are unusable: their clock is wrong"
    )
    annotations: AnnotationSource = Field(
        default_factory=AnnotationSource, description="left out: a folder of videos without annotations"
    )
    downloads: dict[Name, Download] = Field(default_factory=dict, description="what can be fetched (docs/datasets.md)")
    on_youtube: bool = Field(False, description="the videos can be fetched from YouTube, by their ids")
    generate: DemoGenerator | None = Field(None, description="make the videos and annotations instead of finding them")
    splits: DatasetSplits = Field(
        default_factory=DatasetSplits, description="what the splits are for; a system's own `splits` win"
    )
    query_audio: str | None = Field(None, description="folder that holds the sound files of spoken queries")
    window_s: Rate | None = Field(
        None,
        description="captions are of windows of so many seconds: features that see a whole video at once see every "
        "window of it as if it were one; null: captions are of whole videos. For captioning, not for training",
    )
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
