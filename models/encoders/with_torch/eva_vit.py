"""EVA ViT-g, loaded: settings are in `models.encoders.eva_vit`."""

from functools import partial
from typing import Any

import numpy as np

from models.encoders.eva_vit import Config
from models.encoders.interface import Weights
from models.encoders.networks.eva import image_tower, materialise, resampled_positions, tokens_before_norm
from models.encoders.networks.filling import fill
from models.encoders.networks.pixels import FrameRunner, ready


class EvaVitEncoder:
    """All tokens after the last block, before `ln_vision`, class token first, in one row of N * width values."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        tower = image_tower(config.vision, n_classes=0)
        materialise(tower)
        n_tokens = tower.pos_embed.shape[1]
        unused = (f"blocks.{config.vision.layers}.", "norm.", "head.")

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
