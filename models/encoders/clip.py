"""CLIP image tower by open_clip (Radford et al. 2021, arXiv 2103.00020)."""

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights
from models.weights import seeded_state

KIND = "visual"
RECIPE_VERSION = 1

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
ARCHIVE_EXTRAS = ("input_resolution", "context_length", "vocab_size")


class Architecture(BaseModel):
    """Sizes of a CLIP that open_clip has no name for, in open_clip's words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embed_dim: int = Field(gt=0, description="width of the embedding")
    vision: dict[str, Any] = Field(
        description="open_clip vision_cfg: image_size, layers, width, patch_size, head_width"
    )
    text: dict[str, Any] = Field(description="open_clip text_cfg; the text tower is built but not used")
    quick_gelu: bool = Field(True, description="x * sigmoid(1.702 x), as in the published weights")


class Config(BaseModel):
    """Parameters of a CLIP image feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str | Architecture = Field(
        "ViT-B-32-quickgelu", description="an open_clip model name (the published weights need `-quickgelu`), or sizes"
    )
    random_gain: float = Field(1.0, gt=0, description="gain of random weights; no meaning with published ones")


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    import open_clip
    import torch

    class ClipImageEncoder:
        """Projected class token of every frame, not normalised (what Moment-DETR and IMG read)."""

        def __init__(self) -> None:
            network = _build(open_clip, config)
            if isinstance(weights, int):
                shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
                arrays = seeded_state(shapes, weights, config.random_gain)
                state = {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}
            else:
                state = {key: value.float() for key, value in weights.items() if key not in ARCHIVE_EXTRAS}
            network.load_state_dict(state, strict=True)
            self.tower = network.visual.eval().to(device)
            self.dim = self.tower.output_dim
            self.mean = torch.tensor(PIXEL_MEAN, device=device).view(3, 1, 1)
            self.std = torch.tensor(PIXEL_STD, device=device).view(3, 1, 1)

        @torch.inference_mode()
        def encode(self, batch: np.ndarray) -> np.ndarray:
            pixels = torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).float() / 255
            return self.tower((pixels - self.mean) / self.std).float().cpu().numpy()

    return ClipImageEncoder()


def _build(open_clip: Any, config: Config) -> Any:
    if isinstance(config.architecture, str):
        return open_clip.create_model(config.architecture, pretrained=None)
    sizes = config.architecture
    return open_clip.CLIP(sizes.embed_dim, sizes.vision, sizes.text, quick_gelu=sizes.quick_gelu)
