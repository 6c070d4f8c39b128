"""Cases of networks over windows of frames (SlowFast, I3D, C3D): `cases.json` and `NAME.safetensors`."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from models.encoders import c3d, i3d, slowfast
from models.encoders.networks.c3d import C3d
from models.encoders.networks.i3d import I3d
from models.encoders.networks.slowfast import SlowFast, slow_frames
from models.weights import seeded_state
from tests.parity.harness import Check
from tests.parity.network_cases import TOLERANCE_IN_STD, WINDOWED, blocky

I3D_NAME = re.compile(r"i3d_(rgb|flow)_(piergiaj|kinetics400)")
PORTS = {"piergiaj": "piergiaj", "kinetics400": "hassony2"}
INPUT_SEED_OF_PORT = {
    # cases.json: `seed*10+T`, and `seed*10+T+1000` with seed = weight_seed - 4
    "piergiaj": lambda seed, n_frames: seed * 10 + n_frames,
    "kinetics400": lambda seed, n_frames: (seed - 4) * 10 + n_frames + 1000,
}
SIDE = 224


def claims(folder: Path) -> bool:
    """Return whether the folder's `cases.json` describes one of these networks."""
    path = folder / "cases.json"
    return path.is_file() and any(name.startswith(WINDOWED) for name in json.loads(path.read_text()))


def checks(folder: Path) -> list[Check]:
    """Return one check per network and number of frames."""
    cases = json.loads((folder / "cases.json").read_text())
    found = []
    for name, case in sorted(cases.items()):
        if not name.startswith(WINDOWED):
            continue
        expected = load_file(folder / f"{name}.safetensors")
        if name.startswith("slowfast"):
            found.append(Check(name, ignoring_data(check_slowfast, case, expected)))
        elif name.startswith("c3d"):
            found.append(Check(name, ignoring_data(check_c3d, case, expected)))
        else:
            lengths = case["T"] if isinstance(case["T"], list) else [case["T"]]
            modality, port = I3D_NAME.fullmatch(name).groups()
            found += [
                Check(f"{name}-{n}-frames", ignoring_data(check_i3d, case, expected, modality, port, n))
                for n in lengths
            ]
    return found


def ignoring_data(check: Callable[..., None], *args: Any) -> Callable[[Path | None], None]:
    """Return a check that needs no `--data`."""
    return lambda data_path: check(*args)


def check_slowfast(case: dict[str, Any], expected: dict[str, np.ndarray]) -> None:
    seed = case["weight_seed"]
    encoder = slowfast.load(slowfast.Config(random_gain=case["gain"]), seed, "cpu")
    assert len(SlowFast().state_dict()) == case["n_state_dict_keys"]
    assert slow_frames().tolist() == case["slow_index"]
    clips = np.stack([blocky(seed * 10 + b, 32, SIDE, SIDE) for b in range(case["B"])])
    assert_close(encoder.encode(clips), expected["features"])


def check_i3d(case: dict[str, Any], expected: dict[str, np.ndarray], modality: str, port: str, n_frames: int) -> None:
    seed, is_piergiaj = case["weight_seed"], port == "piergiaj"
    state = seeded_state(i3d_shapes(modality, port), seed, case["gain"])
    assert len(state) == case["n_state_dict_keys"]
    config = i3d.Config(port=PORTS[port], modality=modality, flow_from="images", time_mean=not is_piergiaj)
    encoder = i3d.load(config, state, "cpu")
    n_channels = 3 if modality == "rgb" else 2
    window = blocky(INPUT_SEED_OF_PORT[port](seed, n_frames), n_frames, SIDE, SIDE, n_channels)
    corner = expected.get(f"input_T{n_frames}_corner")
    if corner is not None:
        np.testing.assert_array_equal(window[:, :2, :2], corner)
    rows = encoder.encode(window[None])
    assert_close(rows[0], expected[f"features_T{n_frames}" if is_piergiaj else "features"])
    logits = f"logits_T{n_frames}" if is_piergiaj else "logits"
    if logits in expected:
        assert_close(encoder.network.classify(torch.from_numpy(rows)).mean(1).numpy(), expected[logits])


def i3d_shapes(modality: str, port: str) -> dict[str, tuple[int, ...]]:
    """Return the published names of a port with their shapes."""
    own = {key: tuple(value.shape) for key, value in I3d(3 if modality == "rgb" else 2).state_dict().items()}
    if port == "piergiaj":
        return own
    return {hassony_name(key): shape for key, shape in own.items()}


def hassony_name(name: str) -> str:
    """Return hassony2's name of a tensor of piergiaj's I3D."""
    name = name.replace(".bn.", ".batch3d.").replace("logits.", "conv3d_0c_1x1.")
    name = re.sub(r"\.b([12])([ab])\.", lambda m: f".branch_{m[1]}.{'ab'.index(m[2])}.", name)
    name = name.replace(".b0.", ".branch_0.").replace(".b3b.", ".branch_3.1.")
    return name[0].lower() + name[1:]


def check_c3d(case: dict[str, Any], expected: dict[str, np.ndarray]) -> None:
    seed = case["weight_seed"]
    assert len(C3d().state_dict()) == case["n_state_dict_keys"]
    clips = np.stack([blocky(seed * 10 + b, 16, 112, 112) for b in range(len(expected["fc6_pre_relu"]))])
    scaling = {"pixel_mean": 128, "pixel_scale": 64, "random_gain": case["gain"]}
    encoder = c3d.load(c3d.Config(layer="fc6", relu=False, **scaling), seed, "cpu")
    assert_close(encoder.encode(clips), expected["fc6_pre_relu"])
    encoder = c3d.load(c3d.Config(layer="fc7", relu=True, **scaling), seed, "cpu")
    assert_close(encoder.encode(clips), np.maximum(expected["fc7_pre_relu"], 0))
    network = encoder.network
    with torch.inference_mode():
        pixels = torch.from_numpy((clips.transpose(0, 4, 1, 2, 3).astype(np.float32) - 128) / 64)
        assert_close(network.pool5(pixels)[:, :64].numpy(), expected["pool5_first64"])
        fc7 = network(pixels)["fc7"]
        assert_close(fc7.numpy(), expected["fc7_pre_relu"])
        assert_close(network.classify(fc7).numpy(), expected["fc8_logits"])


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare with the tolerance of networks: another order of summation."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE_IN_STD * expected.std()
