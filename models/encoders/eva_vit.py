"""EVA ViT-g as BLIP-2 uses it: 39 blocks, all tokens (Li et al. 2023, arXiv 2301.12597; salesforce/LAVIS)."""

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.eva_clip import VisionSizes
from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a BLIP-2 image feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vision: VisionSizes = Field(
        default_factory=lambda: VisionSizes(layers=39), description="sizes of the image tower, which has 39 blocks"
    )
    precision: Precision = Field(
        "fp32", description="of matrix products; CALCE's own is fp16; the cosine of every token stays above 0.999"
    )
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the image tower and load `eva_vit_g.pth` strictly but for what BLIP-2 leaves out.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape

    Notes
    -----
    The file holds one more block, a final norm and a head. Position embeddings are resampled if the size of the image
    is another than that of the file.
    """
    from models.encoders.with_torch.eva_vit import EvaVitEncoder

    return EvaVitEncoder(config, weights, device)
