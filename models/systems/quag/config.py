"""Hyper-parameters of QUAG and of the HiREST joint baseline, one network each with the same tasks.

The defaults are those of tuyunbin/QUAG (AAAI 2025, arXiv 2412.13543) on HiREST; the baseline of j-min/HiREST (arXiv
2303.16406) differs in `network.form` alone. An option that removes a quirk of the published code defaults to the quirk.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

CLIP4CAPTION = "clip4caption_vit_b32"
"""Entry of the weights registry that the caption decoder starts from."""
POSITION_LIMIT = 2048
"""Rows that the baseline's position table has, whatever the checkpoint of CLIP4Caption brings along."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkConfig(_Section):
    """Sizes of the networks, and their published quirks as options."""

    form: Literal["quag", "hirest"] = Field(
        "quag",
        description="quag: video and speech aligned by attention, then filtered by the query; hirest: the joint "
        "baseline, whose video is multiplied by the query and goes through CLIP4Caption's encoder.",
    )
    width: int = Field(768, gt=0, description="Width of a row in the encoder, and of a word in the caption decoder.")
    fusion_width: int = Field(
        512,
        gt=0,
        description="Width of a row before CLIP4Caption's encoder, which form quag carries along and never calls.",
    )
    heads: int = Field(12, gt=0, description="Attention heads; must divide `width`.")
    layers: int = Field(2, gt=0, description="Layers of the encoder over rows.")
    decoder_layers: int = Field(2, gt=0, description="Layers of the caption decoder.")
    ffn_dim: int = Field(
        3072, gt=0, description="Hidden width of CLIP4Caption's layers; those of form quag have four times `width`."
    )
    vocabulary: int = Field(30522, gt=3, description="Word pieces of the caption decoder (bert-base-uncased).")
    word_positions: int = Field(512, gt=0, description="Positions of the caption decoder.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout, of attention weights too.")
    start: Literal["clip4caption", "random"] = Field(
        "clip4caption",
        description="What the caption decoder starts from: CLIP4Caption's checkpoint, as far as names and shapes match "
        "(published), or random numbers.",
    )
    mask_padding: bool = Field(
        False,
        description="Keep rows past a video's end out of attention and means. False (published): they take part, so a "
        "prediction depends on the longest video of its batch.",
    )
    exact_mask_offset: bool = Field(
        True,
        description="Add the published -10000 to all scores of the caption decoder's attention to the video, and of "
        "form hirest's encoder. It cancels out but for rounding (1e-3 of a score in float32), and is never added in "
        "reduced precision. False: attention as written in the papers.",
    )

    @property
    def inner_width(self) -> int:
        """Width of a row before the encoder."""
        return self.width if self.form == "quag" else self.fusion_width

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"network.width {self.width} must be a multiple of network.heads {self.heads}")
        return self


class LossConfig(_Section):
    """Losses of the three tasks."""

    contrastive_weight: float = Field(
        3e-4, ge=0, description="Weight of the contrast of video and speech (alpha), form quag only."
    )
    same_video_negatives: bool = Field(
        True,
        description="Items of one video are negatives of each other in that contrast (published); false: left out.",
    )
    ignore_pad: bool = Field(
        False,
        description="Leave words after a caption's end out of its loss. False (published): they count, and are most "
        "of it.",
    )


class DataConfig(_Section):
    """From features, transcripts and annotations to network inputs."""

    n_rows: int = Field(
        -1, ge=-1, description="Rows that every video is brought to (n_model_frames); -1 (published): one per second."
    )
    speech_axis: Literal["rows", "seconds"] = Field(
        "rows",
        description="Where speech is laid down if `n_rows` is set. rows (published): seconds are taken for rows; "
        "seconds: on seconds, which are then resampled like the video.",
    )
    missing_rows: Literal["refuse", "repeat_last"] = Field(
        "refuse",
        description="A feature with fewer rows than the video has seconds: an error that names the video, or its last "
        "row is repeated. Surplus rows are cut.",
    )
    long_prompt: Literal["refuse", "cut"] = Field(
        "refuse",
        description="A query of more than 77 byte pairs: an error, as in the published code, or its end is lost.",
    )
    step_rows: int = Field(20, gt=0, description="Rows that a step has in the captioner (max_frames).")
    long_step: Literal["truncate", "resample"] = Field(
        "truncate",
        description="A step of more rows than that. truncate (published): its first ones are captioned, a third of "
        "all steps loses its end; resample: evenly spaced ones.",
    )
    max_words: int = Field(
        48, gt=1, description="Words of a caption with its start or end token; a longer one loses its end."
    )


class TrainConfig(_Section):
    """Optimisation."""

    epochs: int = Field(50, gt=0, description="Passes over the training items of all tasks.")
    batch_size: int = Field(5, gt=0, description="Items per batch, all of one task, in training and evaluation.")
    accumulation: int = Field(1, gt=0, description="Batches per optimiser step.")
    learning_rate: float = Field(1e-5, gt=0, description="Highest rate of AdamW.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Moment decay rates of AdamW.")
    eps: float = Field(1e-8, gt=0, description="Denominator term of AdamW.")
    weight_decay: float = Field(
        0.01,
        ge=0,
        description="Decoupled weight decay of all parameters, biases and norms included. The published command line "
        "asks for 0, which its code does not pass on.",
    )
    warmup_proportion: float = Field(
        0.1, ge=0, lt=1, description="Share of the optimiser steps over which the rate rises from 0 before it falls."
    )
    clip_norm: float = Field(5.0, gt=0, description="Largest global L2 norm of the gradient.")


class DecodingConfig(_Section):
    """From the network to moments, steps and captions."""

    enforce_order: bool = Field(
        False,
        description="Choose the best pair with start <= end. False (published): both are chosen by themselves, and an "
        "end before the start is left as it is.",
    )
    peak_share: float = Field(
        0.5, gt=0, le=1, description="A step reaches to where the boundary score falls to this share of its peak."
    )
    iterations: int = Field(20, gt=0, description="Rounds of the segmentation, one step at most each.")
    min_peak: float = Field(1e-5, ge=0, description="A peak below is no step.")
    min_gap: int = Field(5, ge=0, description="Rows that a boundary lies after the last one at least; others go.")
    first_row: Literal["skip", "accept"] = Field(
        "skip",
        description="A step that reaches the video's first row. skip (published): it is dropped, the round changes "
        "nothing and so do all later ones; accept: it counts.",
    )
    last_boundary: Literal["drop", "end"] = Field(
        "drop",
        description="The last boundary of a moment. drop (published): it goes, whatever it is, so that the last step "
        "has no end; end: the moment's end closes the last step, and what lies behind it goes.",
    )
    reach: Literal["batch", "video"] = Field(
        "batch",
        description="How far a step may reach: to the last row of the batch's longest video (published), or of its "
        "own.",
    )
    beams: int = Field(3, gt=0, description="Beams of the captioner (published scripts; 5 by default); 1: greedy.")
    freeze_finished: bool = Field(
        False,
        description="A caption that has ended stays as it is. False (published): it is continued with whatever the "
        "network says, and only the best one's end stops the search.",
    )


class Config(_Section):
    """All settings of QUAG and of the HiREST baseline."""

    network: NetworkConfig = Field(default_factory=NetworkConfig, description="Network.")
    loss: LossConfig = Field(default_factory=LossConfig, description="Loss.")
    data: DataConfig = Field(default_factory=DataConfig, description="Inputs.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="Optimisation.")
    decoding: DecodingConfig = Field(default_factory=DecodingConfig, description="Decoding.")
    tasks: tuple[Literal["moments", "steps", "captions"], ...] = Field(
        ("moments", "steps", "captions"), min_length=1, description="What is trained and answered, in this order."
    )

    @property
    def captions_of(self) -> tuple[str, ...]:
        """Captions are those of steps."""
        return ("steps",)

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.data.max_words > self.network.word_positions:
            raise ValueError(
                f"data.max_words {self.data.max_words} exceeds the decoder's positions, network.word_positions "
                f"{self.network.word_positions}"
            )
        if self.network.form == "hirest" and self.data.n_rows > POSITION_LIMIT:
            raise ValueError(f"data.n_rows {self.data.n_rows} exceeds the {POSITION_LIMIT} positions of form hirest")
        if self.decoding.beams > self.network.vocabulary:
            raise ValueError(f"decoding.beams {self.decoding.beams} exceed the {self.network.vocabulary} words")
        if self.data.n_rows == 0:
            raise ValueError("data.n_rows 0 leaves nothing of a video; -1 means one row per second")
        return self


CLEAN = {
    "network.mask_padding": (True,),
    "network.exact_mask_offset": (False,),
    "loss.same_video_negatives": (False,),
    "loss.ignore_pad": (True,),
    "data.speech_axis": ("seconds",),
    "data.long_step": ("resample",),
    "decoding.enforce_order": (True,),
    "decoding.first_row": ("accept",),
    "decoding.last_boundary": ("end",),
    "decoding.reach": ("video",),
    "decoding.freeze_finished": (True,),
}
"""What `protocol: clean` means: setting -> values that are clean, the first of which it sets."""


def base_weights(config: Config) -> tuple[str, ...]:
    """Return the entries of the weights registry that the network starts from."""
    return (CLIP4CAPTION,) if config.network.start == "clip4caption" else ()
