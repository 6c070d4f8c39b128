"""Mean of word vectors, loaded: settings are in `models.encoders.word_average`."""

import numpy as np
from sentence_transformers import SentenceTransformer

from models.encoders.interface import Weights
from models.encoders.word_average import Config


class WordAverageEncoder:
    """One row (1, D) per sentence; zeros if none of its words is known."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.network = SentenceTransformer(str(weights), device=device, local_files_only=True)
        self.dim = self.network.get_embedding_dimension()

    def encode(self, batch: list[str]) -> list[np.ndarray]:
        rows = self.network.encode(batch, batch_size=len(batch), show_progress_bar=False)
        return [np.asarray(row[None], dtype=np.float32) for row in rows]
