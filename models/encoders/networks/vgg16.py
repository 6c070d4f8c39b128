"""VGG16 (Simonyan and Zisserman 2015, arXiv 1409.1556) under torchvision's key names, of any width."""

from torch import Tensor, nn
from torchvision.models.vgg import make_layers

PUBLISHED_WIDTH = 64
STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Channels of the convolutions before every pooling, in units of the first one's."""
GRID = 7
FC7_RELU = 5
"""Layers of the classifier up to fc7's ReLU; without it one less."""


class Vgg16(nn.Module):
    """Configuration D; `width` channels after the first convolution, 64 x as many values in fc6 and fc7."""

    def __init__(self, width: int = PUBLISHED_WIDTH, n_classes: int = 1000) -> None:
        super().__init__()
        layers = [part for stage in STAGES for part in (*(width * times for times in stage), "M")]
        self.features = make_layers(layers)
        self.avgpool = nn.AdaptiveAvgPool2d(GRID)
        self.dim = 64 * width
        self.classifier = nn.Sequential(
            nn.Linear(8 * width * GRID**2, self.dim),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(self.dim, self.dim),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(self.dim, n_classes),
        )

    def fc7(self, pixels: Tensor, relu: bool) -> Tensor:
        """Return the second fully connected layer's values (n, 64 * width), after its ReLU or before."""
        pooled = self.avgpool(self.features(pixels)).flatten(1)
        return self.classifier[: FC7_RELU if relu else FC7_RELU - 1](pooled)
