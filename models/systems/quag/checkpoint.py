"""Published weights: those of the whole network, and CLIP4Caption's, which it starts from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.layers.checkpoints import match_state
from models.systems.quag.config import NetworkConfig

LEFT_OUT = "clip_model."
"""Frozen EVA-CLIP, whose embeddings are features here."""
ONLY_QUAG = "temp"
CLIP4CAPTION_PREFIX = "clip4cap_model."
RENAMED = {"gamma": "weight", "beta": "bias"}


def trained_state(network: nn.Module, config: NetworkConfig, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the network's state dict for a published one, `BEST.pth` or `HiREST_BEST.pth`.

    Parameters
    ----------
    network : only its names and shapes count

    Raises
    ------
    ValueError
        If it is of the other form, a name is missing or unknown, or a shape differs.
    """
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    state = {name: tensor for name, tensor in state.items() if not name.startswith(LEFT_OUT)}
    form = "quag" if ONLY_QUAG in state else "hirest"
    if f"{CLIP4CAPTION_PREFIX}decoder.embeddings.word_embeddings.weight" in state and form != config.form:
        raise ValueError(f"the checkpoint is of the other network; set network.form: {form}")
    return match_state(network.state_dict(), state, f"QUAG ({config.form})", " or its features")


@dataclass(frozen=True)
class Start:
    """What became of CLIP4Caption's checkpoint, by names of parameters.

    Attributes
    ----------
    used : copied, and in use
    idle : copied, and never called by this form
    other_shape : left out, with both shapes; the network keeps its random numbers there
    missing : of the network, not in the checkpoint
    unknown : of the checkpoint, not in the network
    """

    used: list[str]
    idle: list[str]
    other_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    missing: list[str]
    unknown: list[str]

    def __str__(self) -> str:
        shapes = ", ".join(f"{name} {theirs} instead of {ours}" for name, (theirs, ours) in self.other_shape.items())
        return (
            f"CLIP4Caption: {len(self.used)} tensors used, {len(self.idle)} copied and never called, "
            f"{len(self.missing)} missing, {len(self.unknown)} unknown, of another shape: {shapes or 'none'}"
        )


@torch.no_grad()
def start_from_clip4caption(network: nn.Module, config: NetworkConfig, state: Mapping[str, Tensor]) -> Start:
    """Copy CLIP4Caption's weights (`clip4caption_vit-b-32_model.bin`) where name and shape match, and say where.

    Raises
    ------
    ValueError
        If nothing of the caption decoder is used, which the published code would not notice.

    Notes
    -----
    parity: names with `gamma` or `beta` are read as `weight` or `bias`; other shapes are passed over. So form quag
    keeps its own norm of the video, both keep a longer table of positions, and of form quag only the decoder counts.
    """
    theirs = {_renamed(name): tensor for name, tensor in state.items()}
    ours = network.clip4cap_model.state_dict(keep_vars=True)
    idle_prefixes = ("visual.",) if config.form == "quag" else ("visual.pooler.",)
    used, idle, other_shape = [], [], {}
    for name in ours.keys() & theirs.keys():
        if theirs[name].shape != ours[name].shape:
            other_shape[name] = (tuple(theirs[name].shape), tuple(ours[name].shape))
            continue
        ours[name].copy_(theirs[name])
        (idle if name.startswith(idle_prefixes) else used).append(name)
    if not any(name.startswith("decoder.") for name in used):
        raise ValueError(
            f"not CLIP4Caption's checkpoint: nothing of its decoder fits, it holds {sorted(theirs)[:3]} ...; the file "
            "is clip4caption_vit-b-32_model.bin"
        )
    missing, unknown = (sorted(names) for names in (ours.keys() - theirs.keys(), theirs.keys() - ours.keys()))
    return Start(sorted(used), sorted(idle), dict(sorted(other_shape.items())), missing, unknown)


def _renamed(name: str) -> str:
    for old, new in RENAMED.items():
        if old in name:
            return name.replace(old, new)
    return name
