"""How loud a piece of sound is and whether it is silent: flags for audio features, without a network."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights

KIND = "audio"
RECIPE_VERSION = 1
TAKES_WEIGHTS = False

FLOOR_DBFS = -120.0
"""Level of digital silence; 16-bit sound cannot be quieter than about -96 dBFS without being zero."""


class Config(BaseModel):
    """Parameters of a level feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    silent_dbfs: float = Field(-60.0, lt=0, description="a window with a lower rms level is silent")


class SoundLevelEncoder:
    """Rows of three values: rms level and peak level in dBFS (at least -120), and 1 if the window is silent, else 0."""

    dim = 3

    def __init__(self, silent_dbfs: float) -> None:
        self.silent_dbfs = silent_dbfs

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Encode float32 (n, samples) as float32 (n, 3)."""
        wave = np.asarray(batch, np.float64)
        rms, peak = np.sqrt(np.square(wave).mean(axis=1)), np.abs(wave).max(axis=1)
        levels = 20 * np.log10(np.maximum(np.stack([rms, peak], axis=1), 10 ** (FLOOR_DBFS / 20)))
        is_silent = levels[:, :1] < self.silent_dbfs
        return np.concatenate([levels, is_silent], axis=1).astype(np.float32)


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Return the encoder.

    Raises
    ------
    ValueError
        weights are given
    """
    if weights is not None:
        raise ValueError("sound_level takes no weights")
    return SoundLevelEncoder(config.silent_dbfs)
