"""Settings of the answers without training."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt


class ThresholdMerge(BaseModel):
    """Clips above a threshold, merged where they lie close together (VTG-GPT)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bins: int = Field(
        10, gt=0, description="equal parts of the scores, normalised to 0 to 1: their edges can be the threshold"
    )
    min_clips: int = Field(
        8, gt=0, description="clips in the highest bins that have so many: the threshold is their lower edge"
    )
    gap: int = Field(
        6, gt=0, description="a clip above the threshold joins a span that ends at most so many clips before it"
    )
    mean_wording: bool = Field(
        False, description="the mean of the scores that several wordings give counts as one wording more"
    )
    mean_of: Literal["kept", "span"] = Field(
        "kept", description="clips of a span whose mean is half of its score: those that are kept, or all"
    )
    nms_threshold: float = Field(0.95, gt=0, le=1, description="IoU with a better span from which a span is dropped")


class Segments(BaseModel):
    """Segments of rows that look alike, against what lies outside (TAG); the defaults are those for Charades-STA."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(
        0.0, description="cosine above which a row counts; 0.2 is published for the image-text matching of BLIP-2"
    )
    gamma: float = Field(0.2, gt=0, description="least range of the aligned scores; ActivityNet Captions: 0.8")
    clusters: int = Field(9, gt=0, description="most groups that the rows of a video fall into")
    window: int = Field(7, gt=0, description="rows over which distances to a group are averaged")
    longest: float = Field(0.5, gt=0, le=1, description="longest span, as a part of the video; ActivityNet Captions: 1")
    smoothing: int = Field(21, gt=0, description="rows that are averaged before they are grouped")
    stride: int = Field(
        20,
        gt=0,
        description="from 3 on, in a video of twice as many rows, slopes are smoothed; ActivityNet Captions: 40",
    )
    spans: int = Field(12, gt=0, description="most spans of a query; ActivityNet Captions: 17")


class Watershed(BaseModel):
    """Shots, merged with their neighbours where the scores are alike (ours, after Diwan et al. 2023)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cut: float = Field(
        1.0,
        ge=0,
        description="a shot begins where neighbouring rows differ by so many standard deviations more than they do on "
        "the mean of the video",
    )
    alike: float = Field(
        0.85,
        ge=0,
        le=1,
        description="neighbouring shots are merged, those that are most alike first, as long as 1 minus the difference "
        "of their scores, normalised over the video, is at least this",
    )


class Config(BaseModel):
    """What is compared, and how answers are made of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learns: ClassVar[bool] = False
    tasks: tuple[Literal["moments", "highlights", "videos"], ...] = Field(
        ("videos",), description="what is answered", min_length=1
    )
    localiser: Literal["threshold_merge", "segments", "watershed"] = Field(
        "threshold_merge", description="how moments are made of the scores of a video's rows"
    )
    clip_s: float | None = Field(
        2.0,
        gt=0,
        description="`threshold_merge`: seconds of the clips that scores are averaged over, by time; clips without a "
        "row get the worst score; null: the rows are the clips",
    )
    saliency_clips: int = Field(
        1,
        gt=0,
        description="highlights: the score of a clip of 2 s is the mean over so many (odd), it in their middle",
    )
    text_of: dict[str, NonNegativeInt] = Field(
        default_factory=dict,
        description="which feature of the stream `text`, from 0, a stream is compared with, where several streams need "
        "different encoders; 0 where nothing is said",
    )
    max_spans: int | None = Field(10, gt=0, description="most moments of a query, the best first; null: all")
    threshold_merge: ThresholdMerge = ThresholdMerge()
    segments: Segments = Segments()
    watershed: Watershed = Watershed()
    frames: int | None = Field(
        20,
        gt=0,
        description="rows of a video that are averaged, evenly spread over all of them as HiREST does it "
        "(`linspace(0, n - 1, frames)`, rounded down); fewer where a video has fewer; null: all",
    )
    keep: int = Field(100, gt=0, description="videos that are named for a query, the best first")
    block: int = Field(128, gt=0, description="queries whose scores are in memory at a time")
