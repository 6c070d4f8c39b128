"""A small CALCE with random weights, and made queries for it."""

from typing import Any

import numpy as np

from models.systems.calce.config import Config
from models.systems.interface import Annotated, FeatureRows, Item, Told
from workflow_scripts.lib.configuration.layers import merge

TOKENS, WIDTH = 5, 24
SETTINGS: dict[str, Any] = {
    "network": {
        "weights": "random(0)",
        "vision": {"image_size": 28, "width": WIDTH, "layers": 2, "head_width": 12},
        "vision_precision": "fp32",
        "qformer": {"width": 16, "layers": 2, "heads": 2, "ffn_dim": 32, "queries": 4},
        "short_queries": 2,
        "t5": {"width": 32, "head_width": 8, "heads": 2, "ffn_dim": 48, "layers": 2},
        "precision": "fp32",
    },
    "events": {"clusters": 4},
    "captions": {"threshold": -1.0},
    "data": {"n_frames": 8},
    "train": {"epochs": 2, "batch_size": 2, "accumulation": 1, "warmup_queries": 0},
    "decoding": {"beams": 2, "max_tokens": 12},
}
WORDS = ("a dog runs", "somebody says hello to the dog", "the red door is closed", "rain")


def made_config(**changes: Any) -> Config:
    """Return the settings with changes by section."""
    return Config.model_validate(merge(SETTINGS, changes))


def made_item(number: int, n_rows: int = 8, width: int = TOKENS * WIDTH, **told: Any) -> Item:
    """Return a query on a video of its own, 2 seconds per row."""
    rng = np.random.default_rng(number)
    times = np.arange(n_rows + 1, dtype=np.float32) * 2
    rows = FeatureRows(
        rng.standard_normal((n_rows, width)).astype(np.float32), np.stack([times[:-1], times[1:]], axis=1)
    )
    start = float(rng.integers(0, max(1, n_rows)))
    content = {
        "noun_phrases": ("dog",),
        "transcript": [(1.0, 2.5, "hello my dog"), (3.0, 9.0, "the door is red"), (9.0, 9.5, "42")][: number % 4],
        "prior_spans": ((2.0, 6.0),),
    } | told
    return Item(
        f"q{number}",
        f"v{number}",
        WORDS[number % len(WORDS)],
        2.0 * n_rows,
        {"visual": [rows]},
        Annotated(np.array([[start, start + 3]])),
        Told(**content),
    )
