"""A frame as a sentence: what is probably in it, by names, among sentences (Norouzi et al. 2014, arXiv 1312.5650).

Norouzi's convex combination of label embeddings, with the rows of a sentence encoder for word vectors: the names of a
frame's most probable ImageNet classes are encoded, and their mean, weighted by the probabilities, is the frame's row.
"""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1
MORE_WEIGHTS = ("sentences",)


class Config(BaseModel):
    """Parameters of a feature of labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(10, ge=1, le=1000, description="most probable classes that a row is made of")
    precision: Precision = "fp32"
    random_gain: RandomGain = 2.0


def load(config: Config, weights: Weights, device: str, sentences: Weights = None) -> Encoder:
    """Build EfficientNet-Lite0 and the sentence encoder and load the weights strictly.

    Parameters
    ----------
    sentences : folder of a sentence encoder as sentence-transformers writes it, such as all-MiniLM-L6-v2

    Raises
    ------
    ValueError
        no folder of a sentence encoder is given
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    if not isinstance(sentences, Path):
        raise ValueError("image_labels needs a sentence encoder: more_weights: {sentences: all_minilm_l6_v2}")

    from models.encoders.networks.efficientnet_lite import class_probabilities, efficientnet_lite0, frame_runner
    from models.encoders.networks.imagenet_names import class_names
    from models.encoders.networks.sentence_bert import SentenceBert

    class ImageLabelsEncoder:
        """One row per frame; a class is encoded when a frame shows it first."""

        def __init__(self) -> None:
            network = efficientnet_lite0(weights, config.random_gain)
            self.run = frame_runner(network, class_probabilities, device, config.precision)
            self.names, self.sentences = class_names(), SentenceBert(sentences)
            self.dim, self.rows = self.sentences.dim, {}

        def encode(self, batch: np.ndarray) -> np.ndarray:
            return np.stack([self._row(probabilities) for probabilities in self.run(batch)])

        def _row(self, probabilities: np.ndarray) -> np.ndarray:
            best = np.argsort(-probabilities, kind="stable")[: config.classes]
            shares = probabilities[best] / probabilities[best].sum()
            return shares @ np.concatenate([self._name_row(number) for number in best.tolist()])

        def _name_row(self, number: int) -> np.ndarray:
            if number not in self.rows:
                [self.rows[number]] = self.sentences.encode([self.names[number]])
            return self.rows[number]

    return ImageLabelsEncoder()
