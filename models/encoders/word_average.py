"""Mean of word vectors by sentence-transformers, MRNet's `average_word_embeddings_glove.6B.300d`."""

from pydantic import BaseModel, ConfigDict

from models.encoders.interface import Encoder, Weights

KIND = "text"
RECIPE_VERSION = 1


class Config(BaseModel):
    """A mean of word vectors has no parameters: tokenizer and stop words are part of the published folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Load the sentence-transformers folder `weights`; the library itself refuses missing or other tensors."""
    from models.encoders.with_torch.word_average import WordAverageEncoder

    return WordAverageEncoder(config, weights, device)
