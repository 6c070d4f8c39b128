"""CLIP text tower by open_clip (Radford et al. 2021, arXiv 2103.00020)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.clip import Architecture
from models.encoders.interface import Encoder, RandomGain, Weights

KIND = "text"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a CLIP text feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str | Architecture = Field(
        "ViT-B-32-quickgelu", description="an open_clip model name (the published weights need `-quickgelu`), or sizes"
    )
    output: Literal["tokens", "pooled"] = Field(
        "tokens",
        description="`tokens`: one row per byte pair incl. start and end, before the projection (Moment-DETR); "
        "`pooled`: the projected end token, not normalised (HiREST)",
    )
    max_tokens: int = Field(
        77, ge=3, description="incl. start and end, longer sentences lose their end; 32 in Moment-DETR"
    )
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly, both towers.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    ValueError
        `max_tokens` is above the context length of the network
    """
    from models.encoders.with_torch.clip_text import ClipTextEncoder

    return ClipTextEncoder(config, weights, device)
