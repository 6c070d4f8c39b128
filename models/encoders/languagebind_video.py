"""LanguageBind video tower: CLIP with attention over time, eight frames of the whole video (arXiv 2310.01852)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a LanguageBind video feature; sizes are those of the published ViT-L/14."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["tokens", "frames", "clip"] = Field(
        "clip",
        description="`tokens`: all tokens of the last layer, frame after frame, class token first (what UniQ4Cap "
        "reads); `frames`: normalised class token of each frame; `clip`: their mean",
    )
    width: int = Field(1024, gt=0, description="width of the tokens and of a row")
    layers: int = Field(24, gt=0, description="depth")
    heads: int = Field(16, gt=0, description="attention heads")
    inner: int = Field(4096, gt=0, description="width inside the MLPs")
    image: int = Field(224, gt=0, description="side of a frame after resizing, pixels")
    patch: int = Field(14, gt=0, description="side of a patch, pixels")
    n_frames: int = Field(8, gt=0, description="frames of a clip; the sampling rule must give as many")
    precision: Precision = "fp32"
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the tower and load the weights strictly: a bare tower, or the vision part of a LanguageBind checkpoint.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.languagebind_video import VideoEncoder

    return VideoEncoder(config, weights, device)
