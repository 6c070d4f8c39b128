"""`config/config.yaml`: what a user edits."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, StringConstraints

from workflow_scripts.lib.configuration.schema.published import Address
from workflow_scripts.lib.configuration.schema.section import Name, Section

MirrorAddress = Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\s]+$")]


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
    mirrors: dict[Address, MirrorAddress] = Field(
        default_factory=dict,
        description="beginning of official addresses -> what is asked in its place; the longest one that fits counts. "
        "The variable HF_ENDPOINT is one for https://huggingface.co. Changing one fetches and computes nothing again",
    )
    youtube_height: PositiveInt = Field(
        480, description="largest height of videos that are fetched from YouTube, pixels"
    )
    proxy_clips: bool = Field(
        False,
        description="put small copies of the moments that it shows beside a report, where browsers do not play the "
        "video: 10 minutes or 19 MB at most",
    )
    needed_by: str | None = Field(
        None, description="a target such as results/qvh/img/metrics.json: list only what it needs (`snakemake weights`)"
    )
    preflight: Literal["refuse", "warn"] = Field(
        "refuse",
        description="what to do before the first job about missing things that no job can make: `refuse` to start, or "
        "`warn` and do what can be done",
    )
    one_pass: Literal["auto", "always", "never"] = Field(
        "auto",
        description="whether one job makes several visual features of a dataset that are asked for together, and "
        "decodes every video once: `auto`, where decoding takes longer than their networks and there is much of it; "
        "`always`, all that can; or `never`. The rows are the same; each feature has its own store",
    )
    videos_per_shard: PositiveInt = Field(
        64, description="used once, when a dataset is first seen; above 500 shards they grow"
    )
    datasets: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of config/datasets/<name>.yaml"
    )
    features: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of config/features/<name>.yaml"
    )
    systems: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="overrides of config/systems/<name>.yaml"
    )
