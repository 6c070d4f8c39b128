"""A small UniQ4Cap captioner with random weights, and made videos for it."""

from typing import Any

import numpy as np
import torch

from models.systems.interface import Annotated, FeatureRows, Item
from models.systems.uniq4cap.config import Config
from models.systems.uniq4cap.network import Captioner
from models.systems.uniq4cap.samples import collate
from models.systems.uniq4cap.system import System
from models.systems.uniq4cap.words import CaptionWords
from workflow_scripts.lib.configuration.layers import merge

VIDEO, AUDIO = 10, 6
DIMS = {"visual": [VIDEO], "audio": [AUDIO]}
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("a", "dog", "Dog", "bark", "##s", "##ing", "bell", "ring", "while", "red", "door", "'", "s", "n", "t", ".", ","),
]
WORDS = CaptionWords(VOCABULARY, lowercase=False)
TEXTS = ("a dog barks", "bell ringing while a red door barks .", "Dog")
SETTINGS: dict[str, Any] = {
    "network": {
        "start": "random",
        "queries": 4,
        "width": 24,
        "layers": 3,
        "heads": 4,
        "ffn_dim": 32,
        "media_width": 20,
        "shared_width": 8,
        "positions": 16,
    },
    "data": {"max_words": 9},
    "decoding": {"max_length": 9, "min_length": 1, "beams": 3},
}


def made_config(**changes: Any) -> Config:
    """Return the settings with changes by section."""
    return Config.model_validate(merge(SETTINGS, changes))


def made_system(dims: dict[str, list[int]] = DIMS, **changes: Any) -> System:
    """Return a system that writes the words above."""
    return System(made_config(**changes), {"words": VOCABULARY}, dims)


def made_network(config: Config | None = None, seed: int = 0) -> Captioner:
    """Return a network in evaluation mode whose start values are spread out, so that everything matters."""
    torch.manual_seed(seed)
    network = Captioner((config or made_config()).network, len(WORDS.vocabulary), VIDEO, AUDIO).eval()
    with torch.no_grad():
        for name, parameter in network.Qformer.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.mul_(5.0 if "embeddings" in name else 20.0)
        network.query_tokens.mul_(50.0)
    return network


def made_item(number: int, n_video: int = 5, n_audio: int = 3, captions: tuple[str, ...] | None = None) -> Item:
    """Return a video with its captions."""
    rng = np.random.default_rng(number)
    streams = {}
    for name, n, width in (("visual", n_video, VIDEO), ("audio", n_audio, AUDIO)):
        streams[name] = [
            FeatureRows(rng.standard_normal((n, width)).astype(np.float32), np.zeros((n, 2), dtype=np.float32))
        ]
    texts = (TEXTS[number % len(TEXTS)],) if captions is None else captions
    return Item(f"v{number}", f"v{number}", "", 4.0, streams, Annotated(captions=texts), is_video=True)


def made_batch(n: int = 3, config: Config | None = None) -> dict[str, Any]:
    """Return a batch with captions."""
    config = config or made_config()
    samples = []
    for number in range(n):
        item = made_item(number)
        samples.append(
            {
                "video": item.streams["visual"][0].values,
                "audio": item.streams["audio"][0].values,
                "ids": WORDS.encode(TEXTS[number % len(TEXTS)], config.data.max_words),
            }
        )
    return collate(samples, WORDS.ids, config.data.max_words)
