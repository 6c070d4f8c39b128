"""EVA-CLIP text tower, loaded: settings are in `models.encoders.eva_clip_text`."""

import numpy as np

from models.encoders.eva_clip_text import Config
from models.encoders.interface import Weights
from models.encoders.networks.clip import TextRunner
from models.encoders.networks.eva import TextHalf, fill_half


class EvaClipTextEncoder:
    """Rows (1, D) of a sentence, or (L, W) of its tokens."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        half = TextHalf(config.text, config.embed_dim)
        fill_half(half, "visual.", weights, config.random_gain)
        self.run = TextRunner(half.text, config.output, config.max_tokens, device)
        self.dim = self.run.dim

    def encode(self, batch: list[str]) -> list[np.ndarray]:
        return self.run(batch)
