"""all-MiniLM-L6-v2 text embeddings (Reimers and Gurevych 2019, arXiv 1908.10084), as sentence-transformers gives them.

A folder of that form (BERT, mean over tokens, length 1) is read without the package, whose import takes longer than a
few hundred sentences; any other goes through it. The rows are equal bit for bit.
"""

from pathlib import Path
from typing import Literal

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
    """Load the sentence-transformers folder `weights` (tokenizer, configuration and weights together) strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing or unexpected
    """
    from models.encoders.with_torch.minilm import LightMiniLmEncoder, MiniLmEncoder, is_plain

    folder = Path(str(weights))
    return (LightMiniLmEncoder if is_plain(folder) else MiniLmEncoder)(config, folder, device)
