"""EfficientNet-Lite0 by timm: what its layers see, and the names that its published file gives them."""

import re
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import Tensor, nn

from models.encoders.networks.filling import Precision, fill
from models.encoders.networks.pixels import FrameRunner, ready

NETWORK = "tf_efficientnet_lite0"
PIXEL_MEAN = PIXEL_STD = (0.5, 0.5, 0.5)
ENDS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
"""Layer in the published file -> the same in timm; the first block does not widen."""


def efficientnet_lite0(weights: int | dict[str, Any], gain: float) -> nn.Module:
    """Return the network, filled strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    network = timm.create_model(NETWORK, pretrained=False)
    places = [f"{stage}.{place}" for stage, blocks in enumerate(network.blocks) for place in range(len(blocks))]
    fill(network, weights, gain, lambda state: {_renamed(key, places): value for key, value in state.items()})
    return network


def _renamed(key: str, places: list[str]) -> str:
    """Return timm's name of a tensor; a name that is unknown stays, so that strict loading tells it."""
    found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if found and int(found[1]) < len(places):
        layers = BLOCK if int(found[1]) else FIRST_BLOCK
        return f"blocks.{places[int(found[1])]}.{layers.get(found[2], found[2])}.{found[3]}"
    layer, _, tensor = key.rpartition(".")
    return f"{ENDS.get(layer, layer)}.{tensor}"


def frame_runner(
    network: nn.Module, head: Callable[[nn.Module, Tensor], Tensor], device: str, precision: Precision
) -> FrameRunner:
    """Return what calls a head, (network, last feature map) -> (n, D), on uint8 frames (n, H, W, 3)."""
    network = ready(network, device, precision).to(memory_format=torch.channels_last)
    return FrameRunner(
        lambda pixels: head(network, network.forward_features(pixels)), device, precision, PIXEL_MEAN, PIXEL_STD
    )


def pooled(network: nn.Module, features: Tensor) -> Tensor:
    """Return the mean over all places, (n, 1280)."""
    return network.forward_head(features, pre_logits=True)


def class_probabilities(network: nn.Module, features: Tensor) -> Tensor:
    """Return the probabilities of the classes of ImageNet, float32 (n, 1000)."""
    return network.forward_head(features).float().softmax(dim=1)
