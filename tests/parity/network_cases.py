"""Cases of OpenAI's CLIP: `cases.json` (configuration, weight seed, input rule) and `NAME.safetensors`."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from models.encoders import clip
from models.encoders.networks.clip import clip_network, pooled, text_tokens
from tests.parity.harness import Check
from tests.parity.input_recipe import frames_of

TOLERANCE_IN_STD = 1e-4


def claims(folder: Path) -> bool:
    """Return whether the folder's `cases.json` describes such a network."""
    path = folder / "cases.json"
    return path.is_file() and any(map(is_clip, json.loads(path.read_text()).values()))


def is_clip(case: Any) -> bool:
    """Return whether a case gives the sizes of an OpenAI CLIP."""
    return isinstance(case, dict) and {"vision_layers", "vision_patch_size"} <= case.get("config", {}).keys()


def checks(folder: Path) -> list[Check]:
    """Return one check per CLIP; the other image networks are in `eva_cases.py`."""
    cases = json.loads((folder / "cases.json").read_text())
    return [
        Check(name, partial(check_network, folder, name, case)) for name, case in sorted(cases.items()) if is_clip(case)
    ]


def architecture_of(case: dict[str, Any]) -> clip.Architecture:
    """Return the sizes of a case in open_clip's words."""
    sizes = case["config"]
    return clip.Architecture(
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


def check_network(folder: Path, name: str, case: dict[str, Any], data_path: Path | None) -> None:
    """Image embeddings, and per token and pooled text embeddings, as far as the case has them."""
    expected = load_file(folder / f"{name}.safetensors")
    architecture, seed = architecture_of(case), case["weight_seed"]
    if "image_features" in expected:
        config = clip.Config(architecture=architecture, random_gain=case["gain"])
        frames = np.concatenate([frames_of(case, b) for b in range(len(expected["image_features"]))])
        assert_close(clip.load(config, seed, "cpu").encode(frames), expected["image_features"])
    if "text_ids" in expected:
        network = clip_network(architecture, seed, case["gain"]).eval()
        check_text(network, expected["text_ids"], expected.get("text_tokens"), expected["text_pooled"])


@torch.inference_mode()
def check_text(tower: torch.nn.Module, ids: np.ndarray, tokens: np.ndarray | None, sentences: np.ndarray) -> None:
    """Token ids (n, 77), filled up with zeros, lead to these states of all valid tokens and to these embeddings."""
    lengths = (ids != 0).sum(1)
    shortened = torch.from_numpy(ids[:, : lengths.max()])
    states = text_tokens(tower, shortened)
    assert_close(pooled(tower, states, shortened).numpy(), sentences)
    if tokens is not None:
        assert_close(np.concatenate([row[:n] for row, n in zip(states.numpy(), lengths, strict=True)]), tokens)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare within the stated part of the expected values' deviation."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE_IN_STD * expected.std()
