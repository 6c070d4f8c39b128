"""Cases of PANNs Cnn14: `cnn14.safetensors` with waveforms, log-mel spectrograms, embeddings and class scores."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from models.encoders.networks.cnn14 import Cnn14
from models.weights import seeded_state
from tests.parity.harness import Check

INT16 = 32768
FRONT_END_TOLERANCE = 1e-4
"""dB; 1e-5 of the range of about 100 dB that a log-mel spectrogram spans."""
TOLERANCE_IN_STD = 1e-4


def claims(folder: Path) -> bool:
    """Return whether the folder holds the Cnn14 file and its `cases.json`."""
    return (folder / "cnn14.safetensors").is_file() and (folder / "cases.json").is_file()


def checks(folder: Path) -> list[Check]:
    """Return one check per waveform, and one per length that is said to give so many frames, or none."""
    case = json.loads((folder / "cases.json").read_text())["cnn14"]
    tensors = load_file(folder / "cnn14.safetensors")
    lengths = [match[1] for name in sorted(tensors) if (match := re.fullmatch(r"wav32k_int16_(\d+)", name))]
    found = [Check(f"cnn14-{n}-samples", partial(check_waveform, case, tensors, n)) for n in lengths]
    return found + [
        Check(f"cnn14-{n}-frames", partial(check_frames, int(n), said))
        for n, said in case.get("n_samples_ok", {}).items()
    ]


def check_waveform(case: dict[str, Any], tensors: dict[str, np.ndarray], n: str, data_path: Path | None) -> None:
    network = Cnn14().eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    state = seeded_state(shapes, case["weight_seed"], case["gain"])
    network.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in state.items()})
    wave = torch.from_numpy(tensors[f"wav32k_int16_{n}"].reshape(1, -1).astype(np.float32) / INT16)
    with torch.inference_mode():
        embedding, classes = network(wave)
        log_mel = network.log_mel(wave)
    expected = tensors[f"logmel_{n}"]
    np.testing.assert_allclose(log_mel.numpy().reshape(expected.shape), expected, rtol=0, atol=FRONT_END_TOLERANCE)
    for name, found in (("embedding", embedding), ("clipwise", classes)):
        expected = tensors[f"{name}_{n}"]
        assert np.abs(found.numpy().reshape(expected.shape) - expected).max() <= TOLERANCE_IN_STD * expected.std()


@torch.inference_mode()
def check_frames(n: int, said: str, data_path: Path | None) -> None:
    """As many spectrogram frames as the published code gives; where that fails, ours refuses the sound."""
    network, wave = Cnn14(base_width=1).eval(), torch.zeros(1, n)
    if said.startswith("ok"):
        assert network.log_mel(wave).shape[1] == int(re.search(r"frames=(\d+)", said)[1])
        assert network(wave)[0].shape == (1, network.dim)
    else:
        with pytest.raises(ValueError):
            network(wave)
