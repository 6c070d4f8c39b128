"""The random crop of CALCE's training frames."""

import math
import random

import torch
from torch import Tensor
from torch.nn import functional as F

AREA = (0.5, 1.0)
ASPECT = (3 / 4, 4 / 3)
ATTEMPTS = 10


def crop_box(height: int, width: int, rng: random.Random) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a crop: area and aspect ratio are drawn until the crop fits.

    Notes
    -----
    The distribution of torchvision's RandomResizedCrop, which the published code takes from the global generator.
    """
    for _ in range(ATTEMPTS):
        area = height * width * rng.uniform(*AREA)
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return rng.randint(0, height - h), rng.randint(0, width - w), h, w
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def resized_crop(frames: Tensor, box: tuple[int, int, int, int], clamp: bool) -> Tensor:
    """Return a crop of uint8 frames (T, H, W, 3) at their own size, bicubic.

    Parameters
    ----------
    box : of `crop_box`; the same for all frames of a video
    clamp : cut overshoot at strong edges to 0..255; False: it wraps around, as in the published code, which casts
        floats to bytes
    """
    top, left, h, w = box
    part = frames[:, top : top + h, left : left + w].permute(0, 3, 1, 2).float()
    resized = F.interpolate(part, size=frames.shape[1:3], mode="bicubic", align_corners=False, antialias=False)
    # The cast of a negative float to bytes is undefined in C; that of whole numbers wraps everywhere.
    whole = resized.clamp(0, 255) if clamp else resized.trunc()
    return whole.to(torch.int32).to(torch.uint8).permute(0, 2, 3, 1)
