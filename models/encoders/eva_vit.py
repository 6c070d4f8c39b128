"""EVA ViT-g as BLIP-2 uses it: 39 blocks, all tokens (Li et al. 2023, arXiv 2301.12597; salesforce/LAVIS)."""

import numpy as np
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
    from functools import partial
    from typing import Any

    from models.encoders.networks.eva import image_tower, materialise, resampled_positions, tokens_before_norm
    from models.encoders.networks.filling import fill
    from models.encoders.networks.pixels import FrameRunner, ready

    unused = (f"blocks.{config.vision.layers}.", "norm.", "head.")

    class EvaVitEncoder:
        """All tokens after the last block, before `ln_vision`, class token first, in one row of N * width values."""

        def __init__(self) -> None:
            tower = image_tower(config.vision, n_classes=0)
            materialise(tower)
            n_tokens = tower.pos_embed.shape[1]

            def read_part(state: dict[str, Any]) -> dict[str, Any]:
                kept = {key: value for key, value in state.items() if not key.startswith(unused)}
                if isinstance(weights, dict) and "pos_embed" in kept:
                    kept["pos_embed"] = resampled_positions(kept["pos_embed"], n_tokens)
                return kept

            fill(tower, weights, config.random_gain, read_part)
            self.dim = n_tokens * config.vision.width
            tower = ready(tower, device, config.precision)
            self.run = FrameRunner(partial(tokens_before_norm, tower), device, config.precision)

        def encode(self, batch: np.ndarray) -> np.ndarray:
            return self.run(batch).reshape(len(batch), -1)

    return EvaVitEncoder()
