"""A frame as a sentence: what is probably in it, by names, among sentences (Norouzi et al. 2014, arXiv 1312.5650).

Norouzi's convex combination of label embeddings, with the rows of a sentence encoder for word vectors: the names of a
frame's most probable ImageNet classes are encoded, and their mean, weighted by the probabilities, is the frame's row.
"""

from pathlib import Path

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

    from models.encoders.with_torch.image_labels import ImageLabelsEncoder

    return ImageLabelsEncoder(config, weights, device, sentences)
