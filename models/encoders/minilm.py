"""all-MiniLM-L6-v2 text embeddings by sentence-transformers (Reimers and Gurevych 2019, arXiv 1908.10084)."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights

KIND = "text"
RECIPE_VERSION = 1

DERIVED_KEYS = {"embeddings.position_ids"}
"""Numbers 0, 1, 2, ... that older checkpoints store."""


class Config(BaseModel):
    """Parameters of a MiniLM feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["tokens", "sentence"] = Field(
        "sentence", description="one row per token incl. [CLS] and [SEP], or the normalised sentence mean"
    )


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Load the sentence-transformers folder `weights` (tokenizer, configuration and weights together) strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing or unexpected
    """
    from sentence_transformers import SentenceTransformer

    class MiniLmEncoder:
        """Rows of shape (L, 384) per token or (1, 384) per sentence."""

        def __init__(self) -> None:
            self.network = SentenceTransformer(str(weights), device=device, local_files_only=True)
            _require_same_keys(self.network[0].auto_model, Path(weights) / "model.safetensors")
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


def _require_same_keys(network: Any, path: Path) -> None:
    """Refuse what the library only warns of: tensors that stay random, or that nobody reads."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        stored = set(file.keys()) - DERIVED_KEYS
    expected = set(network.state_dict())
    if stored != expected:
        missing, unexpected = sorted(expected - stored), sorted(stored - expected)
        raise RuntimeError(f"{path}: missing keys {missing}, unexpected keys {unexpected}")
