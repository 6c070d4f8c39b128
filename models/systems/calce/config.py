"""Hyper-parameters of the CALCE system, of both its stages.

The defaults are those of tjhd1475/CALCE for stage 1 on QVHighlights. Stage 2 and Charades-STA differ where the
descriptions say so.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.encoders.eva_clip import VisionSizes

RANDOM_WEIGHTS = re.compile(r"random\((\d+)\)")
BLIP2, LANGUAGE_MODEL, BERT, TOWER = "blip2_flan_t5_xl", "flan_t5_xl", "bert_base_uncased", "blip2_eva_vit_g"
"""Entries of the weights registry that fill the frozen parts."""
NEVER = 1e9
"""A gradient norm that is not reached: the published training does not clip."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QformerSizes(_Section):
    """Sizes of the Q-Former, BERT with cross-attention to a frame's tokens in every second layer."""

    width: int = Field(768, gt=0, description="Width of a vector.")
    layers: int = Field(12, gt=0, description="Layers.")
    heads: int = Field(12, gt=0, description="Attention heads; must divide `width`.")
    ffn_dim: int = Field(3072, gt=0, description="Hidden width of the feed-forward parts.")
    queries: int = Field(32, gt=0, description="Learned queries: vectors of a key frame.")
    positions: int = Field(512, gt=0, description="Positions of the text branch.")
    vocabulary: int = Field(30522, gt=0, description="Words of the text branch.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout, in use with `train_mode` only.")
    train_mode: bool = Field(
        True,
        description="Dropout is in use while training although the weights are frozen, which also makes the choice of "
        "captions random (published); false: never.",
    )


class T5Sizes(_Section):
    """Sizes of the language model."""

    width: int = Field(2048, gt=0, description="Width of a token.")
    head_width: int = Field(64, gt=0, description="Width of an attention head.")
    heads: int = Field(32, gt=0, description="Attention heads.")
    ffn_dim: int = Field(5120, gt=0, description="Hidden width of the gated feed-forward part.")
    layers: int = Field(24, gt=0, description="Layers of the encoder, and as many of the decoder.")
    vocabulary: int = Field(32128, gt=0, description="Rows of the embedding.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout.")


class LoraConfig(_Section):
    """Low-rank adapters on every linear map of the language model, `lm_head` included."""

    rank: int = Field(8, gt=0, description="Rank r.")
    alpha: float = Field(8.0, gt=0, description="The product counts alpha / rank times.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout of an adapter's input.")


class NetworkConfig(_Section):
    """The network: image tower, Q-Former, projections, language model."""

    weights: Annotated[str, Field(pattern=r"^(published|random\(\d+\))$")] = Field(
        "published",
        description="What the frozen parts start from: `published` (EVA ViT-g, BLIP-2, bert-base-uncased and "
        "Flan-T5-XL), or `random(<seed>)` for tests and the demo.",
    )
    rows: Literal["tokens", "frames", "qformer"] = Field(
        "tokens",
        description="What a row of the visual feature is. tokens: the image tower's tokens of a frame, before "
        "`ln_vision`; frames: its pixels, and the tower runs here; qformer: the Q-Former's output, with `ln_vision` "
        "frozen (not as published).",
    )
    vision: VisionSizes = Field(
        default_factory=lambda: VisionSizes(layers=39), description="Image tower, which has 39 blocks."
    )
    vision_precision: Literal["fp32", "bf16", "fp16"] = Field("fp16", description="Arithmetic of the image tower.")
    qformer: QformerSizes = Field(default_factory=QformerSizes, description="Q-Former.")
    short_queries: int = Field(8, gt=0, description="Vectors of a frame that is no key frame.")
    t5: T5Sizes = Field(default_factory=T5Sizes, description="Language model.")
    lora: LoraConfig = Field(default_factory=LoraConfig, description="Adapters.")
    precision: Literal["fp32", "bf16"] = Field(
        "bf16",
        description="Arithmetic of the language model and of the text branch, whatever the system's `precision` says "
        "of the rest in training, and the number format in which the frozen matrices are kept. Norms, embeddings and "
        "everything that learns stay in float32.",
    )
    learns: Literal["published", "language_model"] = Field(
        "published",
        description="published: `ln_vision`, both projections and the adapters; language_model: its own weights "
        "instead of the adapters, which are off, for small networks with random weights.",
    )
    attention: Literal["fused", "plain"] = Field(
        "fused",
        description="How the language model's encoder attends. fused: by a kernel that keeps no scores; a GPU on which "
        "there is none is refused. plain: by products that keep them all, some 50 GiB more in a training step.",
    )
    gradient_checkpointing: bool | None = Field(
        None,
        description="Compute each block of the language model again in the backward pass, to save memory; null: if the "
        "GPU has less than a step needs without.",
    )
    padding: Literal["compact", "segments"] = Field(
        "compact",
        description="How inputs of several queries are brought to one length. compact: at the end, so that no answer "
        "depends on the others; segments: between video, captions and text as in the published code, which ran with "
        "one query at a time only.",
    )

    @property
    def seed(self) -> int | None:
        """Seed of random weights; None for the published ones."""
        match = RANDOM_WEIGHTS.fullmatch(self.weights)
        return int(match[1]) if match else None

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.qformer.width % self.qformer.heads:
            raise ValueError(
                f"network.qformer.width {self.qformer.width} must be a multiple of heads {self.qformer.heads}"
            )
        if self.vision.width % self.vision.head_width:
            raise ValueError(
                f"network.vision.width {self.vision.width} must be a multiple of head_width {self.vision.head_width}"
            )
        if self.learns == "language_model" and self.seed is None:
            raise ValueError(
                "network.learns language_model is for random weights; published ones are adapted (learns published)"
            )
        return self


class EventsConfig(_Section):
    """Events of a video, and the frames that stand for them."""

    clusters: int | float = Field(
        12, gt=0, description="Clusters of frames, rounded up; up to 1, their share of a video's frames."
    )
    density_noise: bool = Field(
        False,
        description="Add noise (1e-6) to the density of frames, drawn per query; published: true, from the device's "
        "generator, so that results are not repeatable.",
    )
    key_frames: Literal["event", "information", "interval", "none"] = Field(
        "event", description="How stage 1 chooses key frames; published: event."
    )
    reach: int = Field(
        1, ge=0, description="Frames on each side of an event's border that are key frames (bias1: 3 in stage 2)."
    )
    filter_reach: int = Field(
        1, ge=0, description="Stage 2: frames on each side of the chosen events (bias2: 2 on Charades-STA)."
    )
    kept_clusters: int = Field(8, gt=0, description="Stage 2: clusters that may be kept.")
    strict_reference: bool = Field(
        False,
        description="Stage 2: fail where the published code crashes (no window of stage 1, or one outside the video), "
        "instead of falling back to the whole video.",
    )


class CaptionsConfig(_Section):
    """Captions in the prompt."""

    use: bool = Field(True, description="Use the transcript (no_audio false; Charades-STA: false).")
    top: int = Field(5, gt=0, description="Captions looked at, those most similar to the query.")
    threshold: float = Field(0.9, description="Cosine above which they are kept.")


class DataConfig(_Section):
    """From a stored video to network inputs."""

    n_frames: int = Field(
        75,
        gt=0,
        description="Frames of a video (150 in stage 2; 60 and 120 on Charades-STA). A feature with twice as many "
        "gives every second one.",
    )
    items: Literal["nouns", "none"] = Field(
        "nouns",
        description="Items of a query whose dataset names none (`annotations.items`). nouns: found by lists of English "
        "words, which is not from the paper; none: the prompt lists nothing.",
    )
    target_numbers: Literal["substring", "whole", "keep"] = Field(
        "substring",
        description="What becomes of numbers of a target that are several tokens, e.g. 112. substring: replaced by a "
        "neighbour wherever their digits stand (published); whole: as whole numbers only; keep: written as they are.",
    )
    augment: Literal["none", "crop"] = Field(
        "none", description="Training frames: as they are, or one random resized crop per video (rows: frames)."
    )
    crop_answers: bool = Field(
        False,
        description="With `augment: crop`: frames are cropped too when the system is asked about training videos, as "
        "published for the answers that stage 2 is trained with; one crop per query.",
    )
    clamp_after_bicubic: bool = Field(
        True, description="Cut the crop's overshoot to 0..255; false: it wraps around, as published."
    )


class ContrastConfig(_Section):
    """A second loss, for random weights, not from the paper: a query's words find the frames of its moments."""

    weight: float = Field(0.0, ge=0, description="Weight beside the loss of the answers; published: 0, off.")
    epochs: int = Field(0, ge=0, description="First epochs, in which it is the only loss.")
    learning_rate: float = Field(0.01, gt=0, description="Rate of AdamW in these epochs.")
    temperature: float = Field(0.1, gt=0, description="What cosines are divided by.")


class TrainConfig(_Section):
    """Optimisation."""

    epochs: int = Field(50, gt=0, description="Passes over the training queries (15 in stage 2).")
    batch_size: int = Field(1, gt=0, description="Queries per batch.")
    accumulation: int = Field(
        8, gt=0, description="Batches per optimiser step (published: 2 on 4 GPUs; 4 in stage 1 on Charades-STA)."
    )
    learning_rate: float = Field(3e-4, gt=0, description="Highest rate of AdamW (2.8e-4 in stage 2).")
    min_learning_rate: float = Field(
        0.0, ge=0, description="Rate that the cosine ends at (2.6e-4 in stage 2, 2e-4 in stage 1 of Charades-STA)."
    )
    warmup_learning_rate: float = Field(1e-8, ge=0, description="Rate of the first batch.")
    warmup_queries: int = Field(
        9020,
        ge=0,
        description="Queries during which the rate rises (2255 batches on each of 4 GPUs; 1800 in stage 1 of "
        "Charades-STA, 1024 in stage 2).",
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="Moment decay rates of AdamW.")
    eps: float = Field(1e-8, gt=0, description="Denominator term of AdamW.")
    weight_decay: float = Field(0.05, ge=0, description="Decoupled weight decay of matrices.")
    clip_norm: float = Field(NEVER, gt=0, description="Largest global L2 norm of the gradient; published: no limit.")
    contrast: ContrastConfig = Field(default_factory=ContrastConfig, description="Contrast of frames and words.")
    hint_epochs: int = Field(
        0,
        ge=0,
        description="Epochs, after those of contrast alone, over which a hint fades: to the vectors of the frames of "
        "its moments the mean of the query's words is added. Not from the paper, for random weights; published: 0.",
    )

    @model_validator(mode="after")
    def _check_epochs(self) -> Self:
        if self.contrast.epochs and not self.contrast.weight:
            raise ValueError("train.contrast.epochs needs train.contrast.weight above 0, the only loss in them")
        if self.contrast.epochs >= self.epochs:
            raise ValueError(
                f"train.contrast.epochs {self.contrast.epochs} must be below train.epochs {self.epochs}: the answers "
                "are learnt in those that follow"
            )
        answering = self.epochs - self.contrast.epochs
        if self.hint_epochs > answering:
            raise ValueError(
                f"train.hint_epochs {self.hint_epochs} must not be above the {answering} epochs in which answers are "
                "learnt (train.epochs without train.contrast.epochs)"
            )
        return self

    def hint_in(self, epoch: int) -> float:
        """Return how much of the hint there is in an epoch (from 0) in which answers are learnt: 1, falling to 0."""
        return max(0.0, 1 - (epoch - self.contrast.epochs) / self.hint_epochs) if self.hint_epochs else 0.0


class DecodingConfig(_Section):
    """From the network to windows."""

    beams: int = Field(5, gt=0, description="Beams; 1: greedy.")
    max_tokens: int = Field(70, gt=0, description="Tokens of an answer.")
    batch_tokens: int = Field(
        24_000,
        gt=0,
        description="Vectors of the language model's inputs, padding included, that are decoded at a time. Queries of "
        "a batch are packed by length under this bound.",
    )


class Config(_Section):
    """All settings of the CALCE system."""

    stage: Literal[1, 2] = Field(
        1, description="1: all frames, from coarse to windows; 2: the frames of the events that stage 1 found."
    )
    network: NetworkConfig = Field(default_factory=NetworkConfig, description="Network.")
    events: EventsConfig = Field(default_factory=EventsConfig, description="Events and key frames.")
    captions: CaptionsConfig = Field(default_factory=CaptionsConfig, description="Captions.")
    data: DataConfig = Field(default_factory=DataConfig, description="Inputs.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="Optimisation.")
    decoding: DecodingConfig = Field(default_factory=DecodingConfig, description="Decoding.")

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.data.augment == "crop" and self.network.rows != "frames":
            raise ValueError("data.augment crop needs network.rows frames: stored rows show one crop only")
        if self.data.crop_answers and self.data.augment == "none":
            raise ValueError("data.crop_answers needs data.augment crop: nothing is cropped without it")
        return self


CLEAN = {
    "events.density_noise": (False,),
    "network.qformer.train_mode": (False,),
    "network.padding": ("compact",),
    "data.target_numbers": ("whole", "keep"),
    "data.clamp_after_bicubic": (True,),
    "data.crop_answers": (False,),
}
"""What `protocol: clean` means: setting -> values that are clean, the first of which it sets."""


def base_weights(config: Config) -> tuple[str, ...]:
    """Return the entries of the weights registry that the network starts from; none if its weights are random."""
    if config.network.seed is not None:
        return ()
    return (BLIP2, LANGUAGE_MODEL, BERT, *((TOWER,) if config.network.rows == "frames" else ()))


TOWER_PER_FRAME = 260e9
"""Multiply-adds of the published image tower, 39 blocks of width 1,408 on 257 tokens."""
LANGUAGE_WEIGHTS = 1.2e9
"""Of the encoder of Flan-T5-XL; what answers are written with is small beside it."""
KEY_FRAMES, TEXT_TOKENS = 12, 200
"""Of a query, roughly: frames that are shown in full, and tokens of text."""


def work(config: Config) -> tuple[float, float]:
    """Return rough multiply-adds of a query in a training step, and of its answer; (0, 0) for networks of other sizes.

    Notes
    -----
    A backward pass through frozen weights costs as much as the forward pass; blocks that are computed again cost a
    third one.
    """
    network, sizes = config.network, NetworkConfig()
    if (network.vision, network.t5) != (sizes.vision, sizes.t5):
        return 0.0, 0.0
    n_frames = config.data.n_frames
    tower = n_frames * TOWER_PER_FRAME if network.rows == "frames" else 0.0
    shown = n_frames if config.stage == 1 else n_frames // 2
    full = min(KEY_FRAMES, shown)
    vectors = full * network.qformer.queries + (shown - full) * network.short_queries + TEXT_TOKENS
    language = vectors * LANGUAGE_WEIGHTS
    return tower + (3 if network.gradient_checkpointing else 2) * language, tower + language
