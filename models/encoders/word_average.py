"""Mean of word vectors by sentence-transformers, MRNet's `average_word_embeddings_glove.6B.300d`."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.encoders.interface import Encoder, Weights

KIND = "text"
RECIPE_VERSION = 1


class Config(BaseModel):
    """A mean of word vectors has no parameters: tokenizer and stop words are part of the published folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Load the sentence-transformers folder `weights`; the library itself refuses missing or other tensors."""
    from sentence_transformers import SentenceTransformer

    class WordAverageEncoder:
        """One row (1, D) per sentence; zeros if none of its words is known."""

        def __init__(self) -> None:
            self.network = SentenceTransformer(str(weights), device=device, local_files_only=True)
            self.dim = self.network.get_embedding_dimension()

        def encode(self, batch: list[str]) -> list[np.ndarray]:
            rows = self.network.encode(batch, batch_size=len(batch), show_progress_bar=False)
            return [np.asarray(row[None], dtype=np.float32) for row in rows]

    return WordAverageEncoder()
