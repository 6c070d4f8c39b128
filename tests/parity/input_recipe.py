"""Frames that a case names by a recipe in words, such as `blocky(seed*10+b, 32, 224, 224); x/255`.

`seed` is the case's `weight_seed`, unless the recipe ends `with seed=...`; `T` and `b` (the number of a sample) vary.
"""

import ast
import operator
import re
from typing import Any

import numpy as np

CALL = re.compile(r"blocky\(([^()]*)\)")
OTHER_SEED = re.compile(r"with seed=([\w+*-]+)")
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def frames_of(case: dict[str, Any], b: int = 0, n_frames: int | None = None) -> np.ndarray:
    """Return the frames (T, H, W, C), uint8, of the recipe `input` of a case.

    Parameters
    ----------
    b : number of the sample
    n_frames : T, where the recipe has that letter
    """
    names = {"weight_seed": case["weight_seed"], "seed": case["weight_seed"], "b": b}
    if n_frames is not None:
        names["T"] = n_frames
    if other := OTHER_SEED.search(case["input"]):
        names["seed"] = _value(other[1], names)
    return blocky(*(_value(part, names) for part in CALL.search(case["input"])[1].split(",")))


def has_recipe(case: Any) -> bool:
    """Return whether a case says what frames it is fed with."""
    return isinstance(case, dict) and CALL.search(str(case.get("input", ""))) is not None


def blocky(seed: int, n_frames: int, height: int, width: int, n_channels: int = 3) -> np.ndarray:
    """Return uint8 frames (T, H, W, C) of random blocks of 2 frames x 16 x 16 pixels."""
    shape = (-(-n_frames // 2), -(-height // 16), -(-width // 16), n_channels)
    blocks = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, size=shape, dtype=np.uint8)
    return blocks.repeat(2, axis=0).repeat(16, axis=1).repeat(16, axis=2)[:n_frames, :height, :width]


def _value(text: str, names: dict[str, int]) -> int:
    """Return the value of sums and products of numbers and names."""

    def of(node: ast.expr) -> int:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](of(node.left), of(node.right))
        return names[node.id] if isinstance(node, ast.Name) else node.value

    return of(ast.parse(text.strip(), mode="eval").body)
