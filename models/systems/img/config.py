"""Hyper-parameters of the IMG system.

The defaults are those of HuiGuanLab/IMG (arXiv 2508.04273) for Charades-STA with I3D, PANNs and GloVe. Options that
remove a quirk of the published code default to the published behaviour.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueryConfig(_Section):
    """How a sentence becomes a sequence of vectors."""

    kind: Literal["glove", "tokens"] = Field(
        "glove",
        description="glove: frozen word vectors and a character convolution; tokens: rows of the `text` feature, "
        "projected (the published CLIP and LLaMA-2 settings).",
    )
    word_vectors: str = Field(
        "glove_840b",
        description="An entry of config/weights.yaml, or the path of a GloVe text file (`word v1 v2 ...` per line) or "
        "of a zip of one; only read when kind is glove.",
    )
    vocabulary: Literal["train_and_test", "train"] = Field(
        "train_and_test",
        description="Queries whose words and characters are known; kind glove only. train_and_test (published): those "
        "of the training split, then those of the reported ones; train: those of the training split.",
    )
    word_dim: int = Field(300, gt=0, description="Width of the word vectors; only used when kind is glove.")
    char_dim: int = Field(50, gt=0, description="Width of the character embedding; only used when kind is glove.")
    min_char_count: int = Field(
        5, ge=1, description="Characters seen less often than this become the unknown character; kind glove only."
    )


class NetworkConfig(_Section):
    """Sizes of the network, and its published quirks as options."""

    dim: int = Field(128, gt=0, description="Hidden width D.")
    heads: int = Field(8, gt=0, description="Attention heads; must divide `dim`.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout probability, one value for the whole network.")
    event_num: int = Field(3, gt=0, description="Event slots K per modality.")
    slot_layers: int = Field(3, gt=0, description="Refinement rounds of the slot attention.")
    gru_layers: int = Field(3, gt=0, description="Layers of each of the three recurrent networks of the fusion.")
    max_steps: int = Field(
        128,
        gt=0,
        description="Longest video in steps after resampling, and longest query in words (`max_pos_len`): longer ones "
        "lose their end. Published token queries are not cut; they are where `pos_mode` is time.",
    )
    pos_mode: Literal["batch_index", "time", "none"] = Field(
        "batch_index",
        description="Row of the sinusoidal table that the two input encoders add. batch_index (published): the row of "
        "the sample's place in the batch, at every step; time: row t at step t, of the usual sinusoids; none: nothing.",
    )
    slot_noise: Literal["random", "fixed", "zero"] = Field(
        "random",
        description="Start of the event slots. random (published): a normal draw in every forward pass, evaluation "
        "included; fixed: one draw per slot, the same for every sample, in training and evaluation; zero: the learned "
        "mean, which makes all slots of a modality the same.",
    )
    mask_padding: bool = Field(
        False,
        description="Keep padded steps and characters out of the convolutions. False (published): they leak into "
        "their neighbours, so a prediction depends on the lengths of the other samples of the batch.",
    )
    query: QueryConfig = Field(default_factory=QueryConfig, description="Query encoder.")

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        if self.dim % self.heads or self.dim % 2:
            raise ValueError(f"network.dim {self.dim} must be even and a multiple of network.heads {self.heads}")
        return self


class LossConfig(_Section):
    """Weights and constants of the loss."""

    tau: float = Field(3.0, gt=0, description="Temperature of the audio-importance target (2 on ActivityNet).")
    theta: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Audio losses of samples whose importance target is not above this are switched off, and targets "
        "above 1 - theta become 1 (0.1 on ActivityNet).",
    )
    importance_weight: float = Field(5.0, ge=0, description="Weight of the audio-importance loss.")
    saliency_weight: float = Field(0.5, ge=0, description="Weight of the saliency ranking losses.")
    saliency_margin: float = Field(0.2, ge=0, description="Margin between a step inside and one outside the moment.")
    distillation_weight: float = Field(
        10.0, ge=0, description="Weight of the distillation of the fused predictor into the single-modality ones."
    )
    distillation_temperature: float = Field(2.0, gt=0, description="Softmax temperature of the distillation.")
    distillation_warmup_epochs: int = Field(
        20, ge=0, description="Epochs over which the distillation weight rises from 0; 0: full weight at once."
    )
    gate_warmup_epochs: int = Field(
        10, ge=0, description="Epochs over which the audio gate moves from 0.5 to the predicted importance; 0: at once."
    )


class DataConfig(_Section):
    """From features and moments to network inputs."""

    reference_feature: int = Field(
        -1,
        description="Index, in the system's list of visual features, of the one whose length after resampling is the "
        "number of steps; the others are resampled to it and all are concatenated in list order (published: "
        "SlowFast, CLIP with the length of CLIP).",
    )
    audio_scale: float = Field(
        1.0, gt=0, description="Audio values are divided by this (255 for VGGish embeddings stored as 0..255)."
    )
    no_audio: Literal["zeros", "visual", "drop"] = Field(
        "zeros",
        description="A video without audio rows. zeros: all-zero audio; visual: likewise, and the visual predictor "
        "answers instead of the one of `decoding.branch`; drop: its queries are left out and counted (published for "
        "training; the published test code fails on them).",
    )
    saliency_pairs: int = Field(2, ge=1, description="Pairs (step inside, step outside the moment) drawn per sample.")


class TrainConfig(_Section):
    """Optimisation."""

    epochs: int = Field(100, gt=0, description="Passes over the training items.")
    batch_size: int = Field(16, gt=0, description="Samples per batch, in training and evaluation.")
    accumulation: int = Field(1, gt=0, description="Batches per optimiser step.")
    learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate of AdamW.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Moment decay rates of AdamW.")
    eps: float = Field(1e-8, gt=0, description="Denominator term of AdamW.")
    weight_decay: float = Field(
        0.01, ge=0, description="Decoupled weight decay of parameters that are neither biases nor layer norms."
    )
    warmup_proportion: float = Field(
        0.0, ge=0, lt=1, description="Share of the optimiser steps over which the rate rises from 0 before it falls."
    )
    clip_norm: float = Field(1.0, gt=0, description="Largest global L2 norm of the gradient.")


class DecodingConfig(_Section):
    """From logits to spans."""

    branch: Literal["av", "v", "a"] = Field(
        "av", description="Span predictor that answers: av audio-visual (published), v visual only, a audio only."
    )


class Config(_Section):
    """All settings of the IMG system."""

    network: NetworkConfig = Field(default_factory=NetworkConfig, description="Network.")
    loss: LossConfig = Field(default_factory=LossConfig, description="Loss.")
    data: DataConfig = Field(default_factory=DataConfig, description="Inputs.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="Optimisation.")
    decoding: DecodingConfig = Field(default_factory=DecodingConfig, description="Decoding.")

    @property
    def fit_files(self) -> dict[str, str]:
        """Return the settings that name an entry of the weights registry or a file, with what they name."""
        query = self.network.query
        return {"network.query.word_vectors": query.word_vectors} if query.kind == "glove" else {}

    @property
    def fits_on(self) -> tuple[str, ...]:
        """Return the roles of the splits whose queries make the vocabulary, in its order."""
        query = self.network.query
        if query.kind != "glove":
            return ()
        return ("train", "test") if query.vocabulary == "train_and_test" else ("train",)

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        if self.network.pos_mode == "batch_index" and self.train.batch_size > self.network.max_steps:
            raise ValueError(
                f"train.batch_size {self.train.batch_size} exceeds network.max_steps {self.network.max_steps}: with "
                "network.pos_mode batch_index every sample of a batch takes one row of that table. Use a smaller "
                "batch, or pos_mode time or none"
            )
        return self


CLEAN = {
    "network.pos_mode": ("time", "none"),
    "network.slot_noise": ("fixed", "zero"),
    "network.mask_padding": (True,),
    "network.query.vocabulary": ("train",),
}
"""What `protocol: clean` means: setting -> values that are clean, the first of which it sets."""
