"""Hyper-parameters of the MRNet system.

The defaults are those of xian-sh/MRNet (ACM MM 2024) for ActivityNet Captions. Names of its own settings stand in
capitals in the descriptions.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RetentionConfig(_Section):
    """The transformer over queries and clips, in both published forms."""

    layers: int = Field(2, ge=0, description="Layers (TRANS_LAYER: 1 on TACoS, 4 on Charades); 0: none is built.")
    skip: bool = Field(False, description="Build the layers but pass queries and clips by (USE_LRTNET false).")
    heads: int = Field(8, gt=0, description="Attention heads (N_HEAD); must divide `network.dim`.")
    ffn_dim: int = Field(1024, gt=0, description="Hidden width of the feed-forward part.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout after retention and feed-forward part.")
    attn_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of the scores (ATT_DROPOUT: 0.1 on TACoS).")
    gamma: float = Field(0.98, gt=0, le=1, description="Decay per clip of distance (GAMMA: 0.999 on TACoS).")
    qkv: Literal["per_modality", "shared"] = Field(
        "per_modality",
        description="Projections. per_modality: six matrices, for queries and clips apart (file ret_model.py); shared: "
        "three linear maps for both (file ret_model_tacos.py). A checkpoint says which by its keys.",
    )
    attend: Literal["all", "video", "plain", "none"] = Field(
        "all",
        description="Who attends (ATT_MODE all, v, trans, no). all: queries and clips; video: clips alone; plain: all, "
        "without projections and mask; none: nobody.",
    )
    normalise: Literal["softmax", "linear", "zero"] = Field(
        "softmax",
        description="Weights from scores. softmax; linear: the scores themselves (ATT_SOFTMAX false in "
        "ret_model_tacos.py); zero: no weight at all (ATT_SOFTMAX false in ret_model.py).",
    )
    mask: Literal["none", "decay", "sparse", "decay_sparse"] = Field(
        "decay_sparse",
        description="Factor of the scores between clips (MASK_MODE no, ret, sparse, both): decay with distance, a "
        "learned sparse mask, or their product.",
    )
    bidirectional: bool = Field(True, description="Decay into both directions of time (D_DOUBLE).")
    diagonal: Literal["double", "single"] = Field(
        "double", description="Decay factor of a clip with itself when bidirectional: 2 (published) or 1."
    )

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.attend == "plain" and self.qkv == "shared":
            raise ValueError("network.retention.attend plain exists with qkv per_modality only")
        return self


class NetworkConfig(_Section):
    """Sizes of the network."""

    dim: int = Field(256, gt=0, description="Width of queries, clips and proposals (JOINT_SPACE_SIZE).")
    feature_dim: int = Field(512, gt=0, description="Width after the clip features' projection (FEATPOOL.HIDDEN_SIZE).")
    pre_clips: int = Field(
        256, gt=0, description="Rows a video is resampled to (NUM_PRE_CLIPS: 512 on TACoS, 128 on Charades)."
    )
    clips: int = Field(64, gt=1, description="Clips N; candidates are pairs of them (NUM_CLIPS: 128 on TACoS).")
    pool_kernel: int = Field(4, gt=0, description="Rows averaged per clip (FEATPOOL.KERNEL_SIZE).")
    pooling_counts: tuple[int, ...] = Field(
        (15, 8, 8),
        min_length=1,
        description="Candidates: so many lengths at every clip, then so many at every second clip, and so on "
        "([15, 8, 8, 8] on TACoS). [clips - 1] makes the map dense.",
    )
    proposals: Literal["pool", "conv", "pool_b", "conv_b", "pool_c", "conv_c"] = Field(
        "pool",
        description="Features of a candidate (FEAT2D.NAME). pool: its clips, max-pooled; conv: its clips, convolved; "
        "_b: first and last clip are added, in conv_b to nothing; _c: the three are joined and projected, and the "
        "projection's bias fills the other cells of the map.",
    )
    conv_kernel: int = Field(9, gt=0, description="Width k of the proposal convolution (5 on TACoS, 17 on Charades).")
    conv_layers: int = Field(4, gt=0, description="Its layers (3 on TACoS, 2 on Charades).")
    conv_dim: int = Field(512, gt=0, description="Its channels (PREDICTOR.HIDDEN_SIZE).")
    conv_path: Literal["auto", "tiled", "dense"] = Field(
        "auto",
        description="How it is computed; the numbers are the same but for rounding. dense: the whole map; tiled: by "
        "Fourier transforms of tiles, and only for cells that decide the candidates, in training all that are not "
        "constant; auto: tiled on a CPU, unless other cells are filled (proposals _c).",
    )
    input_dropout: float = Field(0.5, ge=0, lt=1, description="Dropout of the clips before their two projections.")
    retention: RetentionConfig = Field(default_factory=RetentionConfig, description="Transformer.")

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.dim % self.retention.heads or self.dim % 2:
            raise ValueError(f"network.dim {self.dim} must be even and a multiple of heads {self.retention.heads}")
        stride = self.pre_clips // self.clips
        n_pooled = (self.pre_clips - self.pool_kernel) // stride + 1 if stride else 0
        if n_pooled != self.clips:
            raise ValueError(
                f"network.pre_clips {self.pre_clips} pooled by {self.pool_kernel} gives {n_pooled} clips, not "
                f"network.clips {self.clips}: set pool_kernel to pre_clips / clips"
            )
        longest = sum(count * 2**group for group, count in enumerate(self.pooling_counts))
        if longest >= self.clips:
            raise ValueError(
                f"network.pooling_counts {list(self.pooling_counts)} reach {longest} clips far, but there are only "
                f"{self.clips} clips (network.clips)"
            )
        if not self.conv_kernel % 2:
            raise ValueError(f"network.conv_kernel {self.conv_kernel} must be odd")
        if self.conv_path == "tiled" and self.proposals.endswith("_c"):
            raise ValueError(f"network.conv_path tiled needs empty cells, of which proposals {self.proposals} has none")
        return self

    @property
    def used_conv_path(self) -> str:
        """`conv_path`, where `auto` is left only if both ways are open."""
        return "dense" if self.proposals.endswith("_c") else self.conv_path


class LossConfig(_Section):
    """Weights and constants of the loss."""

    min_iou: float = Field(0.5, ge=0, le=1, description="IoU that becomes target 0 (0.3 on TACoS).")
    max_iou: float = Field(1.0, gt=0, le=1, description="IoU that becomes target 1 (0.7 on TACoS).")
    positives: int = Field(1, gt=0, description="Best candidates per query that are positives (3 on Charades).")
    negative_iou: float = Field(0.5, description="Candidates and sentences of the same video above are no negatives.")
    tau_video: float = Field(0.1, gt=0, description="Temperature of the contrast of a candidate with all queries.")
    tau_sentence: float = Field(0.1, gt=0, description="Temperature of the contrast of a query with all candidates.")
    margin: float = Field(0.3, ge=0, description="Margin of positives (0.1 on TACoS, 0.4 on Charades).")
    contrastive_weight: float = Field(0.1, ge=0, description="Weight of both contrasts (0.05 on Charades).")
    sparse_weight: float = Field(10.0, ge=0, description="Weight of the learned mask's density (20 on TACoS).")
    sparse_floor: float = Field(
        0.15,
        ge=0,
        description="The density counts twice while its sum over the batch is at least this times `train.batch_size` "
        "(LOSS_RATIO: 0 on TACoS and Charades).",
    )
    all_losses_epochs: int = Field(
        6, ge=0, description="Epochs with all losses (ONLY_IOU: 100 on TACoS, 7 on Charades); later 1 % of all but IoU."
    )


class DataConfig(_Section):
    """From features and moments to network inputs."""

    query_context: Literal["joint_gt_order", "joint_shuffled", "independent"] = Field(
        "joint_gt_order",
        description="Queries of a video that see one another. joint_gt_order (published): all, in the order of their "
        "annotated starts, which leaks the answer; joint_shuffled: all, in an order drawn from their ids; independent: "
        "none, every query alone.",
    )
    drop_degenerate: bool = Field(
        False, description="Leave training queries out that end no later than they start (MMN does, MRNet does not)."
    )


class TrainConfig(_Section):
    """Optimisation."""

    epochs: int = Field(15, gt=0, description="Passes over the training videos.")
    batch_size: int = Field(
        12, gt=0, description="Videos with all their queries per batch (2 on TACoS); queries if they are independent."
    )
    accumulation: int = Field(1, gt=0, description="Batches per optimiser step; negatives stay those of one batch.")
    learning_rate: float = Field(8e-4, gt=0, description="Rate of AdamW (1.5e-3 on TACoS, 1e-4 on Charades).")
    betas: tuple[float, float] = Field((0.9, 0.99), description="Moment decay rates of AdamW.")
    eps: float = Field(1e-8, gt=0, description="Denominator term of AdamW.")
    weight_decay: float = Field(1e-5, ge=0, description="Decoupled weight decay of all parameters.")
    milestones: tuple[int, ...] = Field((7, 15), description="Epochs after which the rate falls to a tenth.")
    clip_norm: float = Field(5.0, gt=0, description="Largest global L2 norm of the gradient.")


class DecodingConfig(_Section):
    """From score maps to spans."""

    power: float = Field(0.5, gt=0, description="Exponent of the contrastive score (0.3 on TACoS).")
    nms_threshold: float = Field(
        0.5, ge=0, le=1, description="A span is dropped if it overlaps a better one by more (0.4 on TACoS)."
    )
    max_spans: int | None = Field(
        5, gt=0, description="Spans returned per query, enough for R5; null: all that are not dropped."
    )


class Config(_Section):
    """All settings of the MRNet system."""

    network: NetworkConfig = Field(default_factory=NetworkConfig, description="Network.")
    loss: LossConfig = Field(default_factory=LossConfig, description="Loss.")
    data: DataConfig = Field(default_factory=DataConfig, description="Inputs.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="Optimisation.")
    decoding: DecodingConfig = Field(default_factory=DecodingConfig, description="Decoding.")


CLEAN = {"data.query_context": ("independent", "joint_shuffled")}
"""What `protocol: clean` means: setting -> values that are clean, the first of which it sets."""
