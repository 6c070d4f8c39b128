"""Mean over the tokens of a transformers text model, as MRNet feeds its queries (DistilBERT, data2vec-text)."""

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights

KIND = "text"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a sentence mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer_norm: bool = Field(True, description="normalise every token's state before the mean, without learnt scale")


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Load the folder `weights` (tokenizer, configuration and weights together) strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing or unexpected
    """
    from models.encoders.with_torch.sentence_mean import SentenceMeanEncoder

    return SentenceMeanEncoder(config, weights, device)
