"""Cases of EVA: entries of `cases.json`, `eva_tiny_*` with a state dict, key lists, byte pairs, pixels of a picture."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch.nn import functional as F

from models.encoders import eva_clip, eva_vit
from models.encoders.eva_clip import VisionSizes
from models.encoders.eva_clip_text import TextSizes
from models.encoders.networks.clip import BytePairs, text_embedding
from models.encoders.networks.eva import ImageHalf, TextHalf, fill_half, image_tower, materialise, tokens_before_norm
from models.encoders.networks.filling import fill
from models.encoders.networks.pixels import PIXEL_MEAN, PIXEL_STD
from models.weights import seeded_state
from tests.parity.harness import Check, has_files
from tests.parity.input_recipe import frames_of, has_recipe
from tests.parity.network_cases import assert_close, check_text
from workflow_scripts.lib.media.resize import resize_for

TINY = ("eva_tiny_config.json", "eva_tiny_state.safetensors", "eva_tiny_io.safetensors")
SHAPES = "state_dict_shapes_eva_clip_g14.json"
BYTE_PAIRS = "clip_bpe.json"
PICTURE = "eva_preprocess.safetensors"
TINY_TOLERANCE = 1e-5
PIXEL_TOLERANCE = 1e-6
BLIP2_SIZES = {"img_size": "image_size", "embed_dim": "width", "depth": "layers"}
"""Name of a size in a BLIP-2 case -> ours."""
NORM_EPS = re.compile(r"ln_vision \(eps ([\d.e-]+)\)")
"""In `output` of a BLIP-2 case."""


def network_cases(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of `cases.json` that describe an EVA image tower."""
    path = folder / "cases.json"
    cases = json.loads(path.read_text()) if path.is_file() else {}
    configs = {name: case.get("config", {}) for name, case in cases.items() if isinstance(case, dict)}
    return {name: cases[name] for name, config in configs.items() if {"vision_cfg", "text_cfg"} <= config.keys()} | {
        name: cases[name] for name, config in configs.items() if {"depth", "mlp_ratio"} <= config.keys()
    }


def claims(folder: Path) -> bool:
    """Return whether the folder holds one of these kinds of cases."""
    return bool(
        network_cases(folder) or has_files(folder, *TINY) or any((folder / n).is_file() for n in (SHAPES, BYTE_PAIRS))
    )


def checks(folder: Path) -> list[Check]:
    """Return one check per network, and one per file of the other kinds."""
    found = []
    for name, case in sorted(network_cases(folder).items()):
        check = check_clip if "vision_cfg" in case["config"] else check_blip2
        found.append(Check(name, partial(check, case, folder / f"{name}.safetensors")))
    others: tuple[tuple[str, Callable[..., None]], ...] = (
        (TINY[2], check_tiny),
        (SHAPES, check_shapes),
        (BYTE_PAIRS, check_byte_pairs),
        (PICTURE, check_pixels),
    )
    return found + [
        Check(file.split(".")[0], partial(check, folder)) for file, check in others if (folder / file).is_file()
    ]


def vision_of(config: dict[str, Any]) -> VisionSizes:
    """Return the sizes of an image tower in our words; stochastic depth has no part in its numbers."""
    return VisionSizes.model_validate({name: size for name, size in config.items() if name != "drop_path_rate"})


def halves(config: dict[str, Any], weights: int | dict[str, Any], gain: float) -> tuple[Any, Any]:
    """Return image and text tower."""
    image = ImageHalf(vision_of(config["vision_cfg"]), config["embed_dim"])
    text = TextHalf(TextSizes.model_validate(config["text_cfg"]), config["embed_dim"])
    fill_half(image, "text.", weights, gain)
    fill_half(text, "visual.", weights, gain)
    return image.visual.eval(), text.text.eval()


@torch.inference_mode()
def check_clip(case: dict[str, Any], path: Path, data_path: Path | None) -> None:
    """Embeddings of stored pictures or of pictures made by the input rule, and of sentences."""
    expected, seed = load_file(path), case["weight_seed"]
    image, text = halves(case["config"], seed, case["gain"])
    if has_recipe(case):
        config = eva_clip.Config(
            embed_dim=case["config"]["embed_dim"],
            vision=vision_of(case["config"]["vision_cfg"]),
            normalise=False,
            random_gain=case["gain"],
        )
        frames = np.concatenate([frames_of(case, b) for b in range(len(expected["image_features"]))])
        assert_close(eva_clip.load(config, seed, "cpu").encode(frames), expected["image_features"])
    if "image" in expected:
        pixels = torch.from_numpy(expected["image"])
        embedding = image(pixels)
        assert_close(embedding.numpy(), expected["image_features"])
        assert_close(F.normalize(embedding, dim=-1).numpy(), expected["image_features_l2"])
        image.blocks = image.blocks[:1]
        assert_close(image.norm(tokens_before_norm(image, pixels)).numpy(), expected["block0_then_norm"])
    if "text_ids" in expected:
        check_text(text, expected["text_ids"], None, expected["text_features"])


@torch.inference_mode()
def check_blip2(case: dict[str, Any], path: Path, data_path: Path | None) -> None:
    """All tokens after the last block, and the same after `ln_vision`."""
    expected, sizes, seed = load_file(path), dict(case["config"]), case["weight_seed"]
    sizes["head_width"] = sizes["embed_dim"] // sizes.pop("num_heads")
    vision = VisionSizes.model_validate({BLIP2_SIZES.get(name, name): size for name, size in sizes.items()})
    tower = image_tower(vision, n_classes=0)
    materialise(tower)
    fill(tower, seed, case["gain"])
    tokens = tokens_before_norm(tower.eval(), torch.from_numpy(expected["image"]))
    assert_close(tokens.numpy(), expected["tokens"])
    assert eva_vit.load(eva_vit.Config(vision=vision), seed, "cpu").dim == tokens[0].numel()
    shape = (vision.width,)
    norm = seeded_state({"ln_vision.weight": shape, "ln_vision.bias": shape}, seed, case["gain"])
    scale, shift = (torch.from_numpy(norm[f"ln_vision.{name}"]) for name in ("weight", "bias"))
    eps = float(NORM_EPS.search(case["output"])[1])
    assert_close(F.layer_norm(tokens, shape, scale, shift, eps).numpy(), expected["tokens_ln_vision"])


@torch.inference_mode()
def check_tiny(folder: Path, data_path: Path | None) -> None:
    """A small EVA-CLIP with its own state dict."""
    config = json.loads((folder / TINY[0]).read_text())
    expected = load_file(folder / TINY[2])
    image, text = halves(config, load_file(folder / TINY[1]), 1.0)
    ids = torch.from_numpy(expected["text_ids"])
    pictures, sentences = image(torch.from_numpy(expected["images"])), text_embedding(text, ids)
    for found, name in (
        (pictures, "image_embeds"),
        (F.normalize(pictures, dim=-1), "image_norm"),
        (sentences, "text_embeds"),
        (F.normalize(sentences, dim=-1), "text_norm"),
        (text.logit_scale.exp().reshape(1), "logit_scale_exp"),
    ):
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=0, atol=TINY_TOLERANCE, err_msg=name)


def check_shapes(folder: Path, data_path: Path | None) -> None:
    """Names and shapes of both halves at the published width, built without memory."""
    expected = json.loads((folder / SHAPES).read_text())
    found = {}
    for half in (ImageHalf(VisionSizes(), 1024), TextHalf(TextSizes(), 1024)):
        found |= {key: list(value.shape) for key, value in half.state_dict().items()}
    assert found == expected["tensors"]
    assert sum(int(np.prod(shape)) for shape in found.values()) == expected["parameters"]


def check_byte_pairs(folder: Path, data_path: Path | None) -> None:
    """Ids of sentences from start to end token."""
    for case in json.loads((folder / BYTE_PAIRS).read_text()):
        assert BytePairs(case["length"])(case["text"]) == case["ids"], case["text"]


def check_pixels(folder: Path, data_path: Path | None) -> None:
    """A picture after resize, centre crop and normalisation."""
    case = load_file(folder / PICTURE)
    height, width, _ = case["image_u8"].shape
    rule = {"rule": "clip_pil", "size": case["tensor"].shape[-1]}
    square = resize_for(rule, width, height).finish(case["image_u8"]).astype(np.float32) / 255
    found = ((square - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)).transpose(2, 0, 1)
    np.testing.assert_allclose(found, case["tensor"], rtol=0, atol=PIXEL_TOLERANCE)
