"""Seeded stand-in weights: the same numbers on every machine, for tests and for running without downloads."""

import hashlib
import math
from collections.abc import Mapping

import numpy as np


def seeded_state(shapes: Mapping[str, tuple[int, ...]], seed: int, gain: float) -> dict[str, np.ndarray]:
    """Return a state dict drawn from a seed.

    Parameters
    ----------
    shapes : name of each tensor in the published state dict -> shape
    seed : any integer
    gain : variance of the sum over a weight's inputs, for inputs of variance 1

    Returns
    -------
    dict of float32 arrays (int64 for `num_batches_tracked`)

    Notes
    -----
    Every tensor depends on the seed, its own name and its shape only: the generator is PCG64, seeded with the first
    eight bytes (little-endian) of the SHA-256 of "seed/name". Statistics of batch norms get plausible values, biases
    are small, scales are near 1.
    """
    return {name: seeded_tensor(name, tuple(shape), seed, gain) for name, shape in shapes.items()}


def seeded_tensor(name: str, shape: tuple[int, ...], seed: int, gain: float) -> np.ndarray:
    """Return one tensor of `seeded_state`, for networks that are too large to be held twice."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
    z = np.asarray(generator.standard_normal(size=shape))
    if name.endswith("running_var"):
        values = 0.5 + np.abs(z)
    elif name.endswith("running_mean"):
        values = 0.1 * z
    elif name.endswith("bias"):
        values = 0.05 * z
    elif not shape:
        values = 1.0 + 0.1 * z
    elif len(shape) == 1:
        values = 1.0 + 0.1 * z if name.endswith("weight") else 0.05 * z
    else:
        values = z * math.sqrt(gain / math.prod(shape[1:]))
    return values.astype(np.float32)
