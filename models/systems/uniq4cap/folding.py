"""Looking at media without their common width: two linear maps, one after the other, are one.

A token goes through a bridge (1024 to 1408 as published) and then, in every layer that looks, through the maps of keys
and values (1408 to 768). Their product is made once for a trained network; from then on a token costs 1024 x 768
multiplications per map instead of 1408 x 768, and the bridge nothing. Values change by rounding only.
"""

import torch
import torch.nn.functional as F
from torch import BoolTensor, Tensor, nn

from models.layers.qformer import Memory, Pair
from models.systems.uniq4cap.network import Captioner, normalised


class FoldedBridges:
    """The bridges of a network inside the keys and values of its Q-Former, for the weights that it has now."""

    def __init__(self, network: Captioner) -> None:
        self._network = network
        looks = [layer.crossattention for layer in network.Qformer.bert.encoder.layer]
        self._contents = [None if looking is None else looking.self for looking in looks]
        names = ["video"] + (["audio"] if hasattr(network, "audio_project") else [])
        self._maps = [
            None
            if content is None
            else [
                [_product(one, getattr(network, f"{name}_project")) for name in names]
                for one in (content.key, content.value)
            ]
            for content in self._contents
        ]

    @staticmethod
    def pays(network: Captioner) -> bool:
        """Return whether media are wider than the tokens of the towers, so that there is something to save."""
        bridges = [network.video_project] + ([network.audio_project] if hasattr(network, "audio_project") else [])
        return all(bridge.in_features < bridge.out_features for bridge in bridges)

    def memory(self, video: Tensor, audio: Tensor | None = None, valid_media: BoolTensor | None = None) -> Memory:
        """Return what `Captioner.memory` returns."""
        network = self._network
        tokens = [normalised(network.ln_video, video)]
        if audio is not None:
            tokens.append(normalised(network.ln_audio, audio))
        pairs: list[Pair | None] = []
        for content, maps in zip(self._contents, self._maps, strict=True):
            if content is None:
                pairs.append(None)
                continue
            keys, values = (
                torch.cat([F.linear(part, *own) for part, own in zip(tokens, one, strict=False)], dim=1) for one in maps
            )
            pairs.append((content.split(keys), content.split(values)))
        return Memory(pairs, None if valid_media is None else valid_media[:, None, None])


def _product(after: nn.Linear, before: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return weight and bias of two maps, one after the other."""
    return after.weight @ before.weight, F.linear(before.bias, after.weight, after.bias)
