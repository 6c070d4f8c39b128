"""Colour histogram of a frame: a feature that needs neither weights nor torch."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights

KIND = "visual"
RECIPE_VERSION = 1
TAKES_WEIGHTS = False

LEVELS = 256


class Config(BaseModel):
    """Parameters of a histogram feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bins: int = Field(16, ge=1, le=LEVELS, description="equal bins per channel; a row has three times as many values")


class RgbHistogramEncoder:
    """Share of a frame's pixels in every bin: red, then green, then blue; a row sums to one.

    Parameters
    ----------
    bins : int
        B per channel; level v of 256 falls into bin floor(v * B / 256).
    """

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self.dim = 3 * bins
        self._bin_of_level = np.arange(LEVELS) * bins // LEVELS

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Encode uint8 (n, H, W, 3) or (n, K, H, W, 3) as float32 (n, 3 * bins)."""
        return np.stack([self._row(frame.reshape(-1, 3)) for frame in batch])

    def _row(self, pixels: np.ndarray) -> np.ndarray:
        levels = [np.bincount(pixels[:, channel], minlength=LEVELS) for channel in range(3)]
        counts = [np.bincount(self._bin_of_level, weights=level, minlength=self.bins) for level in levels]
        return (np.concatenate(counts) / pixels.size).astype(np.float32)


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Return the encoder.

    Raises
    ------
    ValueError
        weights are given
    """
    if weights is not None:
        raise ValueError("rgb_histogram takes no weights")
    return RgbHistogramEncoder(config.bins)
