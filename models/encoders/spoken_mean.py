"""Mean of the hidden states of a speech network over one spoken query, as MRNet reads its queries.

The networks are those of transformers: wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477), data2vec (Baevski et al.
2022, arXiv 2202.03555), UniSpeech-SAT (Chen et al. 2021, arXiv 2110.05752) and AST (Gong et al. 2021, arXiv
2104.01778), with the sizes of their base models.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, RandomGain, Weights

KIND = "spoken"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a spoken-query feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: Literal["wav2vec2", "data2vec_audio", "unispeech_sat", "ast"] = Field(
        "wav2vec2", description="family of the network"
    )
    sizes: dict[str, Any] = Field(
        default_factory=dict, description="fields of transformers' configuration that differ from the base model's"
    )
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly; recognition and tagging heads of a checkpoint are left out.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.spoken_mean import SpokenMeanEncoder

    return SpokenMeanEncoder(config, weights, device)
