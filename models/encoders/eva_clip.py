"""EVA-CLIP image tower, EVA01-g-14 (Fang et al. 2022, arXiv 2211.07636; repository baaivision/EVA)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1


class VisionSizes(BaseModel):
    """Sizes of an EVA vision transformer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int = Field(224, gt=0, description="pixels")
    patch_size: int = Field(14, gt=0, description="pixels")
    width: int = Field(1408, gt=0, description="of a token")
    layers: int = Field(40, gt=0, description="blocks")
    head_width: int = Field(88, gt=0, description="width of one attention head")
    mlp_ratio: float = Field(4.3637, gt=0, description="hidden width of the MLP over `width`, rounded down: 6144")


class Config(BaseModel):
    """Parameters of an EVA-CLIP image feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embed_dim: int = Field(1024, gt=0, description="width of the embedding")
    vision: VisionSizes = Field(default_factory=VisionSizes, description="sizes of the image tower")
    normalise: bool = Field(
        True, description="divide rows by their length (features of moments); false for HiREST's 32 retrieval frames"
    )
    drop_path: Literal["off", "reference"] = Field(
        "off",
        description="`reference`: drop branches of the network at random, as HiREST's script does by never calling "
        "eval(); an experiment, seeded by each frame's pixels",
    )
    precision: Precision = "fp32"
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the image tower and load the `visual.*` part of `eva_clip_psz14.pt` strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.eva_clip import EvaClipImageEncoder

    return EvaClipImageEncoder(config, weights, device)
