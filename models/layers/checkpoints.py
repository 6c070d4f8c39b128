"""Strict comparison of published weights with a network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def match_state(
    expected: Mapping[str, Tensor], state: Mapping[str, Any], what: str, hint: str = ""
) -> dict[str, Tensor]:
    """Return the tensors of `state` in the order of `expected`.

    Parameters
    ----------
    expected : state dict of the network, only names and shapes count
    what, hint : name of the configuration, and what else may be wrong, for the message

    Raises
    ------
    ValueError
        If a name is missing or unknown, or a shape differs; all of them are named.
    """
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(f"not a checkpoint of this {what} configuration: missing {missing}, unknown {unknown}")
    wrong = [
        f"{name}: {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if tuple(state[name].shape) != tuple(tensor.shape)
    ]
    if wrong:
        raise ValueError(f"checkpoint does not fit this {what} configuration{hint}: {'; '.join(wrong)}")
    return {name: torch.as_tensor(state[name]) for name in expected}
