"""BEATs tokens of sound (Chen et al. 2023, arXiv 2212.09058), the audio tower of UniQ4Cap's ablation."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "audio"
TAKES_CHANNELS = True
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a BEATs feature; sizes are those of the published base model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["tokens", "steps", "clip"] = Field(
        "clip",
        description="`tokens`: all, eight bands of a time step after one another (what UniQ4Cap reads); `steps`: means "
        "over the bands, one row per 160 ms; `clip`: mean over everything",
    )
    patch_width: int = Field(512, gt=0, description="width of the patch embedding")
    width: int = Field(768, gt=0, description="width of the tokens and of a row")
    layers: int = Field(12, gt=0, description="depth")
    heads: int = Field(12, gt=0, description="attention heads")
    inner: int = Field(3072, gt=0, description="width inside the MLPs")
    position_kernel: int = Field(128, gt=0, description="tokens that the position convolution sees")
    position_groups: int = Field(16, gt=0, description="its groups")
    buckets: int = Field(320, gt=0, description="buckets of relative positions")
    distance: int = Field(800, gt=0, description="distance from which all positions share a bucket")
    frames: int = Field(512, gt=0, multiple_of=16, description="spectrogram frames of 10 ms; the rest is cut")
    precision: Precision = "fp32"
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly (entry `model` of a checkpoint; a classifier is left out).

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.beats import BeatsEncoder

    return BeatsEncoder(config, weights, device)
