"""Cases of the image networks: `cases.json` (configuration, weight seed, input rule) and `NAME.safetensors`."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.encoders import clip
from tests.parity.harness import Check

TOLERANCE_IN_STD = 1e-4
PIXELS = 224
WINDOWED = ("slowfast_", "i3d_", "c3d_")
"""Networks over windows of frames: `windowed_network_cases.py`."""


def claims(folder: Path) -> bool:
    """Return whether the folder's `cases.json` describes networks fed with the blocky frames."""
    path = folder / "cases.json"
    if not path.is_file():
        return False
    cases = json.loads(path.read_text())
    return any("blocky" in str(case.get("input", "")) for case in cases.values() if isinstance(case, dict))


def checks(folder: Path) -> list[Check]:
    """Return one check per network; networks without an encoder here are skipped by name."""
    cases = json.loads((folder / "cases.json").read_text())
    return [
        Check(name, partial(check_network, folder, name, case))
        for name, case in sorted(cases.items())
        if not name.startswith(WINDOWED)
    ]


def check_network(folder: Path, name: str, case: dict[str, Any], data_path: Path | None) -> None:
    if not {"vision_layers", "vision_patch_size", "embed_dim"} <= case.get("config", {}).keys():
        pytest.skip(f"no encoder for network {name}")
    expected = load_file(folder / f"{name}.safetensors")["image_features"]
    sizes = case["config"]
    architecture = clip.Architecture(
        embed_dim=sizes["embed_dim"],
        vision={
            "image_size": sizes["image_resolution"],
            "layers": sizes["vision_layers"],
            "width": sizes["vision_width"],
            "patch_size": sizes["vision_patch_size"],
        },
        text={
            "context_length": sizes["context_length"],
            "vocab_size": sizes["vocab_size"],
            "width": sizes["transformer_width"],
            "heads": sizes["transformer_heads"],
            "layers": sizes["transformer_layers"],
        },
        quick_gelu="QuickGELU" in case["activation"],
    )
    seed = case["weight_seed"]
    encoder = clip.load(clip.Config(architecture=architecture, random_gain=case["gain"]), seed, "cpu")
    frames = np.concatenate([blocky(seed * 10 + b, 1, PIXELS, PIXELS) for b in range(len(expected))])
    difference = np.abs(encoder.encode(frames) - expected).max()
    assert difference <= TOLERANCE_IN_STD * expected.std()


def blocky(seed: int, n_frames: int, height: int, width: int, n_channels: int = 3) -> np.ndarray:
    """Return the frames of the cases' input recipe, uint8 (T, H, W, C): random blocks of 2 frames x 16 x 16 pixels."""
    shape = (-(-n_frames // 2), -(-height // 16), -(-width // 16), n_channels)
    blocks = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, size=shape, dtype=np.uint8)
    return blocks.repeat(2, axis=0).repeat(16, axis=1).repeat(16, axis=2)[:n_frames, :height, :width]
