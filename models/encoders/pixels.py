"""The pixels of a frame as they are, for systems whose training changes them before any network sees them."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights

KIND = "visual"
RECIPE_VERSION = 2
TAKES_WEIGHTS = False


class Config(BaseModel):
    """Parameters of a pixel feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(224, gt=0, description="height and width of the resized frames; a row has 3 * size * size values")


class PixelEncoder:
    """Rows of levels 0 to 255, red, green and blue of a pixel side by side, which uint8 and float16 hold exactly."""

    def __init__(self, size: int) -> None:
        self.size, self.dim = size, 3 * size * size

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Return uint8 (n, size, size, 3) as float32 (n, 3 * size * size).

        Raises
        ------
        ValueError
            frames have another size
        """
        if batch.shape[1:] != (self.size, self.size, 3):
            raise ValueError(f"frames of {batch.shape[1:]}, expected {self.size} x {self.size} x 3: set params.size")
        return batch.reshape(len(batch), -1).astype(np.float32)


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Return the encoder.

    Raises
    ------
    ValueError
        weights are given
    """
    if weights is not None:
        raise ValueError("pixels takes no weights")
    return PixelEncoder(config.size)
