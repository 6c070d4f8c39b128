"""A frame as a sentence, loaded: settings are in `models.encoders.image_labels`."""

from pathlib import Path

import numpy as np

from models.encoders.image_labels import Config
from models.encoders.interface import Weights
from models.encoders.networks.efficientnet_lite import class_probabilities, efficientnet_lite0, frame_runner
from models.encoders.networks.imagenet_names import class_names
from models.encoders.networks.sentence_bert import SentenceBert


class ImageLabelsEncoder:
    """One row per frame; a class is encoded when a frame shows it first."""

    def __init__(self, config: Config, weights: Weights, device: str, sentences: Path) -> None:
        self.n_classes = config.classes
        network = efficientnet_lite0(weights, config.random_gain)
        self.run = frame_runner(network, class_probabilities, device, config.precision)
        self.names, self.sentences = class_names(), SentenceBert(sentences)
        self.dim, self.rows = self.sentences.dim, {}

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return np.stack([self._row(probabilities) for probabilities in self.run(batch)])

    def _row(self, probabilities: np.ndarray) -> np.ndarray:
        best = np.argsort(-probabilities, kind="stable")[: self.n_classes]
        shares = probabilities[best] / probabilities[best].sum()
        return shares @ np.concatenate([self._name_row(number) for number in best.tolist()])

    def _name_row(self, number: int) -> np.ndarray:
        if number not in self.rows:
            [self.rows[number]] = self.sentences.encode([self.names[number]])
        return self.rows[number]
