"""Hyper-parameters of UniQ4Cap's captioner.

The defaults are those of LePanda026/Implementation-for-Uniq4Cap for its pre-aligned towers, with all three losses
of the paper's figure and with beam search; what the released code does instead is an option.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

BLIP2 = "blip2_pretrained"
BERT = {"cased": "bert_base_cased", "uncased": "bert_base_uncased"}
"""Entries of the weights registry that the Q-Former starts from."""
CASED_VOCABULARY = "bert_base_cased_vocabulary"
NEVER = 1e9
"""A gradient norm that is not reached: the published training does not clip."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkConfig(_Section):
    """Sizes of the captioner, and what it starts from."""

    start: Literal["published", "random"] = Field(
        "published",
        description="published: BERT, then BLIP-2 on top, as far as `drop_embeddings` lets it; random: new weights, "
        "for small networks.",
    )
    bert: Literal["cased", "uncased", "captions"] = Field(
        "cased",
        description="Word pieces, and the BERT that the words start from. cased (published): the vocabulary is an "
        "entry of the weights registry, BLIP-2's body was trained with the other one; uncased: in the repository; "
        "captions: the words of the training captions, for small networks that start from new weights.",
    )
    drop_embeddings: bool = Field(
        True,
        description="Leave BLIP-2's embeddings and word head out, so that those of BERT stay. True (published): they "
        "belong to another vocabulary; false needs bert: uncased, one row of the table is then new.",
    )
    query_init: Literal["tile", "random"] = Field(
        "tile",
        description="What more queries than BLIP-2's 32 start from. tile (published): these again, alike but for "
        "dropout; random: new ones.",
    )
    tile_noise: float = Field(
        0.0, ge=0, description="Standard deviation of what tells repeated queries apart; published: 0, else try 0.02."
    )
    queries: int = Field(64, gt=0, description="Learned queries (num_query_token).")
    width: int = Field(768, gt=0, description="Width of a row of the Q-Former.")
    layers: int = Field(12, gt=0, description="Layers of the Q-Former.")
    heads: int = Field(12, gt=0, description="Attention heads; must divide `width`.")
    ffn_dim: int = Field(3072, gt=0, description="Hidden width of the feed-forward parts.")
    look_every: int = Field(
        2, gt=0, description="Queries look at the media in layers 0, n, 2n, ... (cross_attention_freq)."
    )
    media_width: int = Field(1408, gt=0, description="Width that the tokens of both towers are brought to.")
    shared_width: int = Field(256, gt=0, description="Width in which media and texts are compared (embed_dim).")
    positions: int = Field(512, gt=0, description="Positions of the words.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout, of attention weights too.")
    temperature: float = Field(0.07, gt=0, description="What similarities are divided by at first; it learns.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"network.width {self.width} must be a multiple of network.heads {self.heads}")
        if not self.drop_embeddings and self.bert == "cased":
            raise ValueError("network.drop_embeddings false takes BLIP-2's words, which are those of bert: uncased")
        if self.start == "published" and self.bert == "captions":
            raise ValueError("network.bert captions knows no published weights; it needs network.start random")
        return self


class LossConfig(_Section):
    """Losses. `mtm` is left out of a batch of one, which has no negatives."""

    mtc: float = Field(
        1.0, ge=0, description="Weight of the contrast in which media and texts find each other; 0: not computed."
    )
    mtm: float = Field(
        1.0, ge=0, description="Weight of telling pairs of media and text from wrong ones; 0: not computed."
    )
    mgm: float = Field(
        1.0, gt=0, description="Weight of writing the caption. The released code computes this one only (mtc, mtm 0)."
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Of mtc and of mgm.")
    gather: Literal["none", "published", "gradients"] = Field(
        "none",
        description="Training by several processes. none: every batch is contrasted by itself; published: with those "
        "of all processes, which give no gradient in mtc; gradients: these too, as one batch would.",
    )
    same_caption_negatives: bool = Field(
        True, description="Items with equal captions are negatives of each other in mtm (published); false: left out."
    )


class AlignConfig(_Section):
    """Stage `align`, a rule of our own: pictures and sounds find their captions before captions are written."""

    nce: float = Field(1.0, ge=0, description="Weight of pictures and captions finding each other; 0: not computed.")
    mil_nce: float = Field(
        1.0, ge=0, description="Weight of sounds finding one of their captions, and captions their sound."
    )
    bag: int = Field(4, gt=0, description="Captions of a video that are drawn per step, as many as there are.")
    candidates: int = Field(
        2000, gt=0, description="Captions of the training videos that answers are chosen from; of more, some are drawn."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.nce or self.mil_nce):
            raise ValueError("align.nce and align.mil_nce are both 0: nothing would be learnt")
        return self


class DataConfig(_Section):
    """From stored tokens and annotations to network inputs."""

    vocabulary: str = Field(
        CASED_VOCABULARY,
        description="bert: cased only: entry of the weights registry, or a file, with one word piece per line.",
    )
    max_words: int = Field(
        32,
        gt=2,
        description="Word pieces of a caption with its start and end; a longer one loses its end (max_txt_len).",
    )
    drop_tokens: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the tokens of a medium that a training step does not see, drawn anew every time. The "
        "published picture tower drops half of its patches, which stored tokens cannot repeat; 0: they are all seen.",
    )
    references: Literal["draw", "first"] = Field(
        "draw",
        description="Which caption of a video is trained with. draw: any of them, anew in every epoch; first: the "
        "first one. The published data have one.",
    )
    empty_captions: Literal["skip", "keep"] = Field(
        "skip", description="Videos with nothing but empty captions are left out of training, or teach silence."
    )
    missing_audio: Literal["skip", "video_only"] = Field(
        "video_only", description="Videos without sound are left out, or described from what is seen."
    )


class TrainConfig(_Section):
    """Optimisation."""

    epochs: int = Field(300, gt=0, description="Passes over the videos; 25 with the towers that are not aligned.")
    batch_size: int = Field(128, gt=0, description="Videos per batch, which are each other's negatives.")
    accumulation: int = Field(1, gt=0, description="Batches per optimiser step.")
    learning_rate: float = Field(2e-4, gt=0, description="Highest rate of AdamW.")
    min_rate: float = Field(2e-5, ge=0, description="Rate that the cosine falls to.")
    warmup_rate: float = Field(2e-6, ge=0, description="Rate of the first step.")
    warmup_steps: int = Field(
        5000,
        gt=0,
        description="Steps of the linear rise, which takes place in the first epoch only and is cut off at its end; "
        "from then on the rate changes once per epoch (published).",
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="Moment decay rates of AdamW.")
    eps: float = Field(1e-8, gt=0, description="Denominator term of AdamW.")
    weight_decay: float = Field(
        0.05, ge=0, description="Of everything but vectors; the temperature is decayed too (published)."
    )
    clip_norm: float = Field(NEVER, gt=0, description="Largest global L2 norm of the gradient; published: none.")


class DecodingConfig(_Section):
    """From the network to a caption. Lengths count `[DEC]`, with which every caption starts, but not its end."""

    mode: Literal["beam", "greedy", "nucleus"] = Field(
        "beam", description="nucleus: words are drawn, as the released code always does, so that captions vary."
    )
    beams: int = Field(5, gt=0, description="Captions that beam search carries along; 1: greedy.")
    max_length: int = Field(30, gt=1, description="Word pieces of a caption at most.")
    min_length: int = Field(10, ge=0, description="Word pieces before which a caption must not end.")
    length_penalty: float = Field(1.0, description="Beam search divides by length to this power.")
    repetition_penalty: float = Field(
        1.0, gt=0, description="Words that have been written become less likely by this factor; the release ignores it."
    )
    temperature: float = Field(1.0, gt=0, description="nucleus: logits are divided by it.")
    top_k: int = Field(50, ge=0, description="nucleus: words that may be drawn; 0: all.")
    top_p: float = Field(0.9, gt=0, le=1, description="nucleus: the fewest words that reach this probability.")


class Config(_Section):
    """All settings of UniQ4Cap."""

    stage: Literal["align", "caption"] = Field(
        "caption",
        description="align: stage 1 by a rule of our own, since none is published, of which the answer is the nearest "
        "caption of a training video; caption: captions are written, published.",
    )
    network: NetworkConfig = Field(default_factory=NetworkConfig, description="Network.")
    loss: LossConfig = Field(default_factory=LossConfig, description="Losses of stage caption.")
    align: AlignConfig = Field(default_factory=AlignConfig, description="Losses and answers of stage align.")
    data: DataConfig = Field(default_factory=DataConfig, description="Inputs.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="Optimisation.")
    decoding: DecodingConfig = Field(default_factory=DecodingConfig, description="Decoding.")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return what is answered."""
        return ("captions",)

    @property
    def captions_of(self) -> tuple[str, ...]:
        """Captions are those of videos."""
        return ("videos",)

    @property
    def fit_files(self) -> dict[str, str]:
        """Return the settings that name an entry of the weights registry or a file, with what they name."""
        return {"data.vocabulary": self.data.vocabulary} if self.network.bert == "cased" else {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        longest = max(self.data.max_words, self.decoding.max_length)
        if longest > self.network.positions:
            raise ValueError(f"captions of {longest} word pieces exceed network.positions {self.network.positions}")
        if self.decoding.min_length > self.decoding.max_length:
            raise ValueError(
                f"decoding.min_length {self.decoding.min_length} exceeds max_length {self.decoding.max_length}"
            )
        return self


CLEAN = {
    "loss.same_caption_negatives": (False,),
}
"""What `protocol: clean` means: setting -> values that are clean, the first of which it sets."""


def base_weights(config: Config) -> tuple[str, ...]:
    """Return the entries of the weights registry that the network starts from."""
    return (BERT[config.network.bert], BLIP2) if config.network.start == "published" else ()
