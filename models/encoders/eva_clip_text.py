"""EVA-CLIP text tower, EVA01-g-14 (Fang et al. 2022, arXiv 2211.07636; repository baaivision/EVA)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, RandomGain, Weights

KIND = "text"
RECIPE_VERSION = 1


class TextSizes(BaseModel):
    """Sizes of EVA-CLIP's text transformer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context_length: int = Field(77, gt=0, description="tokens")
    vocab_size: int = Field(49408, gt=0, description="OpenAI's byte pairs")
    width: int = Field(768, gt=0, description="of a token")
    heads: int = Field(12, gt=0, description="attention heads")
    layers: int = Field(12, gt=0, description="blocks")


class Config(BaseModel):
    """Parameters of an EVA-CLIP text feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embed_dim: int = Field(1024, gt=0, description="width of the embedding")
    text: TextSizes = Field(default_factory=TextSizes, description="sizes of the text tower")
    output: Literal["pooled", "tokens"] = Field(
        "pooled", description="`pooled`: the projected end token, not normalised (QUAG); `tokens`: before projection"
    )
    max_tokens: int = Field(77, ge=3, description="incl. start and end, longer sentences lose their end")
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the text tower and load the `text.*` part of `eva_clip_psz14.pt` strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    ValueError
        `max_tokens` is above the context length of the network
    """
    from models.encoders.with_torch.eva_clip_text import EvaClipTextEncoder

    return EvaClipTextEncoder(config, weights, device)
