"""LanguageBind audio tower: CLIP on mel pictures of the whole sound (arXiv 2310.01852), as UniQ4Cap uses it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "audio"
TAKES_CHANNELS = True
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a LanguageBind audio feature; sizes are those of the published ViT-L/14."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["tokens", "clip"] = Field(
        "clip",
        description="`tokens`: all tokens of the last layer, class token first, then patches by pitch and time (what "
        "UniQ4Cap reads; their times are meaningless); `clip`: the normalised class token",
    )
    width: int = Field(1024, gt=0, description="width of the tokens and of a row")
    layers: int = Field(24, gt=0, description="depth")
    heads: int = Field(16, gt=0, description="attention heads")
    inner: int = Field(4096, gt=0, description="width inside the MLPs")
    frames: int = Field(1036, gt=0, description="spectrogram frames of 10 ms in a picture; longer sound gives three")
    patch: int = Field(14, gt=0, description="side of a patch, bands and frames")
    from_image_clip: bool = Field(
        False, description="the weights are an image tower's: its square of positions is resized to the spectrogram's"
    )
    precision: Precision = "fp32"
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the tower and load the weights strictly: a bare tower, or the vision part of a LanguageBind checkpoint.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.languagebind_audio import AudioEncoder

    return AudioEncoder(config, weights, device)
