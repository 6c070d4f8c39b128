"""What a published MRNet checkpoint says about its network.

Source: xian-sh/MRNet. Its own loader keeps random values where names differ; here nothing is left to chance.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def unwrap(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint file (`model`, `optimizer`, ...) or of a bare state dict."""
    state = checkpoint.get("model", checkpoint)
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def detect(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network settings that the names and shapes of a state dict decide.

    Parameters
    ----------
    state : name -> anything with a shape

    Returns
    -------
    dict
        Settings of `NetworkConfig`, those of the transformer by the names `retention.<setting>`. How scores become
        weights (`retention.normalise`), who attends, the candidates and whether their ends are added (`proposals` _b)
        leave no trace in a checkpoint.

    Raises
    ------
    ValueError
        If it is no checkpoint of MRNet, or of the older form without `self_attn`.
    """
    convs = _count(state, r"proposal_conv\.convs\.(\d+)\.weight")
    layers = _count(state, r"trans_ret\.rets\.(\d+)\.xpos\.scale")
    if not convs or "featpool.conv.weight" not in state:
        raise ValueError(f"not a checkpoint of MRNet: no proposal_conv or featpool among {sorted(state)[:5]} ...")
    first = state["proposal_conv.convs.0.weight"].shape
    found = {
        "dim": first[1],
        "feature_dim": state["featpool.conv.weight"].shape[0],
        "conv_kernel": first[2],
        "conv_layers": convs,
        "conv_dim": first[0],
        "retention.layers": layers,
    }
    if "feat2d.vis_conv.weight" in state:
        found["proposals"] = "conv_c" if "feat2d.convs.0.weight" in state else "pool_c"
    if layers:
        found |= {
            "clips": math.isqrt(state["trans_ret.rets.0.learn_vid_ret.weight"].shape[0]),
            "retention.ffn_dim": state["trans_ret.ffns.0.0.weight"].shape[0],
            "retention.qkv": _projections(state),
        }
    return found


def _count(state: Mapping[str, Any], pattern: str) -> int:
    return len({match[1] for name in state if (match := re.fullmatch(pattern, name))})


def _projections(state: Mapping[str, Any]) -> str:
    prefix = "trans_ret.rets.0"
    has_matrices = f"{prefix}.W_vid_Q" in state
    n_maps = _count(state, re.escape(prefix) + r"\.self_attn\.linears\.(\d+)\.weight")
    if has_matrices and n_maps == 1:
        return "per_modality"
    if not has_matrices and n_maps == 4:
        return "shared"
    raise ValueError(
        f"{prefix}: {'W_vid_Q' if has_matrices else 'no W_vid_Q'} and {n_maps} self_attn.linears: neither the form "
        "per_modality (W_vid_Q, 1) nor shared (4); older forms of MRNet are not supported"
    )
