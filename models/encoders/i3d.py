"""I3D window features from RGB or optical flow (Carreira and Zisserman 2017, arXiv 1705.07750)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1
MORE_WEIGHTS = ("raft",)


class Config(BaseModel):
    """Parameters of an I3D feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: Literal["piergiaj", "hassony2"] = Field(
        "piergiaj",
        description="whose arithmetic: `piergiaj` (VSLNet, LGI) or `hassony2` (video_features); batch norm and padding "
        "differ, their weights are not interchangeable",
    )
    modality: Literal["rgb", "flow"] = Field("rgb", description="what the network sees")
    flow_from: Literal["raft", "images"] = Field(
        "raft",
        description="`raft`: flow between neighbouring RGB frames, so T + 1 frames make a window of T (needs weights "
        "for `raft`); `images`: frames already are flow, two channels of 0 to 255",
    )
    flow_updates: int = Field(20, gt=0, description="RAFT's refinement steps; 20 in video_features")
    flow_crop: int = Field(224, gt=0, description="side of the square that is cut out of a RAFT flow field, pixels")
    n_classes: int = Field(400, gt=0, description="of the classifier in the weights file: 400 Kinetics, 157 Charades")
    time_mean: bool = Field(
        False, description="one row per window, the mean over its rows (video_features), instead of ceil(T / 8) - 1"
    )
    base_width: int = Field(
        64, gt=0, multiple_of=4, description="channels of the stem; 64 is published, rows are 16 x as wide"
    )
    precision: Precision = "fp32"
    random_gain: RandomGain = 2.0


def load(config: Config, weights: Weights, device: str, raft: Weights = None) -> Encoder:
    """Build the network and load the weights strictly: names of either port.

    Parameters
    ----------
    raft : weights of torchvision's `raft_large`, for flow from RGB frames

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    ValueError
        flow is to come from RAFT and there are no weights for it, or the other way round
    """
    from models.encoders.with_torch.i3d import I3dEncoder

    return I3dEncoder(config, weights, device, raft)
