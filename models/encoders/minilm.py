"""all-MiniLM-L6-v2 text embeddings by sentence-transformers (Reimers and Gurevych 2019, arXiv 1908.10084)."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights

KIND = "text"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a MiniLM feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["tokens", "sentence"] = Field(
        "sentence", description="one row per token incl. [CLS] and [SEP], or the normalised sentence mean"
    )


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Load the sentence-transformers folder `weights` (tokenizer, configuration and weights together)."""
    from sentence_transformers import SentenceTransformer

    class MiniLmEncoder:
        """Rows of shape (L, 384) per token or (1, 384) per sentence."""

        def __init__(self) -> None:
            self.network = SentenceTransformer(str(weights), device=device, local_files_only=True)
            self.dim = self.network.get_embedding_dimension()

        def encode(self, batch: list[str]) -> list[np.ndarray]:
            tokens = config.output == "tokens"
            rows = self.network.encode(
                batch,
                batch_size=len(batch),
                output_value="token_embeddings" if tokens else "sentence_embedding",
                show_progress_bar=False,
            )
            return [np.asarray(row.cpu() if tokens else row[None], dtype=np.float32) for row in rows]

    return MiniLmEncoder()
