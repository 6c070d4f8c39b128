"""CLIP image tower by open_clip (Radford et al. 2021, arXiv 2103.00020)."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 2


class Architecture(BaseModel):
    """Sizes of a CLIP that open_clip has no name for, in open_clip's words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embed_dim: int = Field(gt=0, description="width of the embedding")
    vision: dict[str, Any] = Field(
        description="open_clip vision_cfg: image_size, layers, width, patch_size, head_width"
    )
    text: dict[str, Any] = Field(description="open_clip text_cfg: layers, width, heads")
    quick_gelu: bool = Field(True, description="x * sigmoid(1.702 x), as in the published weights")


class Config(BaseModel):
    """Parameters of a CLIP image feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str | Architecture = Field(
        "ViT-B-32-quickgelu", description="an open_clip model name (the published weights need `-quickgelu`), or sizes"
    )
    precision: Precision = "fp32"
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly, both towers.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.clip import ClipImageEncoder

    return ClipImageEncoder(config, weights, device)
