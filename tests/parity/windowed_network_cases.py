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
from tests.parity.input_recipe import frames_of
from tests.parity.network_cases import assert_close

PORT_OF_EPS = {1e-3: "piergiaj", 1e-5: "hassony2"}
"""`bn_eps` of a case -> the port whose arithmetic it is."""
N_CLASSES = re.compile(r"I3D\((\d+)", re.IGNORECASE)
"""In `arch` of an I3D: InceptionI3d(400 classes, ...), I3D(400,flow), ..."""
SCALING = re.compile(r"\(v-([\d.]+)\)/([\d.]+)")
"""In `input` of a C3D."""


def claims(folder: Path) -> bool:
    """Return whether the folder's `cases.json` describes one of these networks."""
    path = folder / "cases.json"
    return path.is_file() and any(map(kind_of, json.loads(path.read_text()).values()))


def kind_of(case: Any) -> str | None:
    """Return which network a case is of, by its fields."""
    if not isinstance(case, dict):
        return None
    if "slow_index" in case:
        return "slowfast"
    if N_CLASSES.search(case.get("arch", "")):
        return "i3d"
    return "c3d" if SCALING.search(str(case.get("input", ""))) else None


def checks(folder: Path) -> list[Check]:
    """Return one check per network and number of frames."""
    cases = json.loads((folder / "cases.json").read_text())
    found = []
    for name, case in sorted(cases.items()):
        kind = kind_of(case)
        if kind is None:
            continue
        expected = load_file(folder / f"{name}.safetensors")
        if kind == "slowfast":
            found.append(Check(name, ignoring_data(check_slowfast, case, expected)))
        elif kind == "c3d":
            found.append(Check(name, ignoring_data(check_c3d, case, expected)))
        else:
            lengths = case["T"] if isinstance(case["T"], list) else [case["T"]]
            found += [Check(f"{name}-{n}-frames", ignoring_data(check_i3d, case, expected, n)) for n in lengths]
    return found


def ignoring_data(check: Callable[..., None], *args: Any) -> Callable[[Path | None], None]:
    """Return a check that needs no `--data`."""
    return lambda data_path: check(*args)


def check_slowfast(case: dict[str, Any], expected: dict[str, np.ndarray]) -> None:
    encoder = slowfast.load(slowfast.Config(random_gain=case["gain"]), case["weight_seed"], "cpu")
    assert len(SlowFast().state_dict()) == case["n_state_dict_keys"]
    assert slow_frames().tolist() == case["slow_index"]
    clips = np.stack([frames_of(case, b) for b in range(len(expected["features"]))])
    assert_close(encoder.encode(clips), expected["features"])


def check_i3d(case: dict[str, Any], expected: dict[str, np.ndarray], n_frames: int) -> None:
    """Rows and class scores of a window; their names end with the number of frames where a case has several."""
    window = frames_of(case, n_frames=n_frames)
    port, n_channels, n_classes = PORT_OF_EPS[case["bn_eps"]], window.shape[-1], int(N_CLASSES.search(case["arch"])[1])
    state = seeded_state(i3d_shapes(n_channels, n_classes, port), case["weight_seed"], case["gain"])
    assert len(state) == case["n_state_dict_keys"]
    config = i3d.Config(
        port=port,
        modality={3: "rgb", 2: "flow"}[n_channels],
        flow_from="images",
        n_classes=n_classes,
        time_mean="mean over time" in case["arch"],
    )
    encoder = i3d.load(config, state, "cpu")
    own = {key.removesuffix(f"_T{n_frames}"): value for key, value in expected.items() if f"_T{n_frames}_" not in key}
    corner = expected.get(f"input_T{n_frames}_corner")
    if corner is not None:
        np.testing.assert_array_equal(window[:, : corner.shape[1], : corner.shape[2]], corner)
    rows = encoder.encode(window[None])
    assert_close(rows[0], own["features"])
    if "logits" in own:
        assert_close(encoder.network.classify(torch.from_numpy(rows))[0].numpy(), own["logits"])


def i3d_shapes(n_channels: int, n_classes: int, port: str) -> dict[str, tuple[int, ...]]:
    """Return the published names of a port with their shapes."""
    own = {key: tuple(value.shape) for key, value in I3d(n_channels, n_classes).state_dict().items()}
    return own if port == "piergiaj" else {hassony_name(key): shape for key, shape in own.items()}


def hassony_name(name: str) -> str:
    """Return hassony2's name of a tensor of piergiaj's I3D."""
    name = name.replace(".bn.", ".batch3d.").replace("logits.", "conv3d_0c_1x1.")
    name = re.sub(r"\.b([12])([ab])\.", lambda m: f".branch_{m[1]}.{'ab'.index(m[2])}.", name)
    name = name.replace(".b0.", ".branch_0.").replace(".b3b.", ".branch_3.1.")
    return name[0].lower() + name[1:]


def check_c3d(case: dict[str, Any], expected: dict[str, np.ndarray]) -> None:
    assert len(C3d().state_dict()) == case["n_state_dict_keys"]
    clips = np.stack([frames_of(case, b) for b in range(len(expected["fc6_pre_relu"]))])
    mean, scale = map(float, SCALING.search(case["input"]).groups())
    scaling = {"pixel_mean": mean, "pixel_scale": scale, "random_gain": case["gain"]}
    encoder = c3d.load(c3d.Config(layer="fc6", relu=False, **scaling), case["weight_seed"], "cpu")
    assert_close(encoder.encode(clips), expected["fc6_pre_relu"])
    encoder = c3d.load(c3d.Config(layer="fc7", relu=True, **scaling), case["weight_seed"], "cpu")
    assert_close(encoder.encode(clips), np.maximum(expected["fc7_pre_relu"], 0))
    network, first = encoder.network, expected["pool5_first64"]
    with torch.inference_mode():
        pixels = torch.from_numpy((clips.transpose(0, 4, 1, 2, 3).astype(np.float32) - mean) / scale)
        assert_close(network.pool5(pixels)[:, : first.shape[1]].numpy(), first)
        fc7 = network(pixels)["fc7"]
        assert_close(fc7.numpy(), expected["fc7_pre_relu"])
        assert_close(network.classify(fc7).numpy(), expected["fc8_logits"])
