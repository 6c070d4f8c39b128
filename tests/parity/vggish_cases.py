"""Cases of VGGish: `vggish.safetensors` with waveforms, log-mel examples, raw embeddings and 8-bit values."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from models.encoders import vggish
from models.encoders.networks.vggish import PCA_KEYS, SAMPLE_RATE, AudioSetPca, Vggish
from models.weights import seeded_state
from tests.parity.harness import Check
from workflow_scripts.lib.media.audio import resample, windows

INT16 = 32768
STEREO = re.compile(r"wav(?P<rate>\d+)k_stereo_int16")
ODD_RATES = {"44": 44100, "22": 22050, "11": 11025}
"""Rates that are no whole number of kilohertz, by how names of tensors say them."""
FRONT_END_TOLERANCE = 1e-5
TOLERANCE_IN_STD = 1e-4
QUANTISATION_STEP = 1
"""A value next to a rounding border may fall to either side."""
WINDOW_S, HOP_S = 0.975, 0.96


def claims(folder: Path) -> bool:
    """Return whether the folder holds the VGGish file and its `cases.json`."""
    return (folder / "vggish.safetensors").is_file() and (folder / "cases.json").is_file()


def checks(folder: Path) -> list[Check]:
    """Return the checks of front end, network, post-processing and of how many rows a length gives."""
    case = json.loads((folder / "cases.json").read_text())["vggish"]
    tensors = load_file(folder / "vggish.safetensors")
    found = [
        Check(f"vggish-{name}", partial(function, case, tensors))
        for name, function in (
            ("front-end", check_front_end),
            ("network", check_network),
            ("encoder", check_encoder),
            ("post-processing", check_post_processing),
        )
    ]
    for match in filter(None, map(STEREO.fullmatch, sorted(tensors))):
        found.append(Check(f"vggish-{match['rate']}k-stereo", partial(check_stereo, tensors, match)))
    for n, shape in case.get("n_samples_to_examples", {}).items():
        rows = shape[0] if isinstance(shape, list) else 0
        found.append(Check(f"vggish-{n}-samples", partial(check_count, int(n), rows)))
    return found


def cut(wave: np.ndarray) -> np.ndarray:
    """Return the windows that VGGish sees, float32 (T, 15600)."""
    cuts, _ = windows(wave, SAMPLE_RATE, WINDOW_S, HOP_S, align="start", tail="drop")
    return np.array(list(cuts), np.float32).reshape(-1, round(WINDOW_S * SAMPLE_RATE))


def mono(samples: np.ndarray) -> np.ndarray:
    """Return the published reader's mono signal in float64."""
    wave = samples.astype(np.float64) / INT16
    return wave.mean(axis=1) if wave.ndim == 2 else wave


def seeded_network(case: dict[str, Any]) -> Vggish:
    network = Vggish().eval()
    network.load_state_dict(network_state(case))
    return network


def network_state(case: dict[str, Any]) -> dict[str, torch.Tensor]:
    shapes = {key: tuple(value.shape) for key, value in Vggish().state_dict().items()}
    state = seeded_state(shapes, case["weight_seed"], case["gain"])
    return {key: torch.from_numpy(value) for key, value in state.items()}


def pca_state(case: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the PCA of the cases: the recipe with gain 1."""
    shapes = {key: tuple(value.shape) for key, value in AudioSetPca(True).state_dict().items()}
    return {k: torch.from_numpy(v) for k, v in seeded_state(shapes, case["weight_seed"], 1.0).items()}


def check_front_end(case: dict[str, Any], tensors: dict[str, np.ndarray], data_path: Path | None) -> None:
    log_mel = Vggish().log_mel(torch.from_numpy(cut(mono(tensors["wav16k_int16"]).astype(np.float32))))
    np.testing.assert_allclose(log_mel.numpy(), tensors["log_mel_examples"], rtol=0, atol=FRONT_END_TOLERANCE)


@torch.inference_mode()
def check_network(case: dict[str, Any], tensors: dict[str, np.ndarray], data_path: Path | None) -> None:
    found = seeded_network(case).embed(torch.from_numpy(tensors["log_mel_examples"])).numpy()
    expected = tensors["embedding_raw"]
    assert np.abs(found - expected).max() <= TOLERANCE_IN_STD * expected.std()


def check_encoder(case: dict[str, Any], tensors: dict[str, np.ndarray], data_path: Path | None) -> None:
    """Run the whole way from sound to rows, as an extraction job does."""
    encoder = vggish.load(vggish.Config(postprocess="raw"), network_state(case), "cpu")
    found = np.stack(encoder.encode(cut(mono(tensors["wav16k_int16"]).astype(np.float32))))
    expected = tensors["embedding_raw"]
    assert np.abs(found - expected).max() <= TOLERANCE_IN_STD * expected.std()


def check_post_processing(case: dict[str, Any], tensors: dict[str, np.ndarray], data_path: Path | None) -> None:
    state = pca_state(case)
    assert set(state) == set(PCA_KEYS)
    pca = AudioSetPca(quantise=True)
    pca.load_state_dict(state)
    found = pca(torch.from_numpy(tensors["embedding_scaled_for_pca"])).numpy()
    stored = tensors["pca_quantised"].astype(np.float64)
    assert found.shape == stored.shape
    # The published product is a transposed view, which files may hold in its order in memory: (128, n).
    layouts = (stored, stored.reshape(stored.shape[::-1]).T)
    difference = min((np.abs(found - layout) for layout in layouts), key=np.max)
    assert difference.max() <= QUANTISATION_STEP
    assert (difference > 0).mean() < 0.01


def check_stereo(tensors: dict[str, np.ndarray], match: re.Match, data_path: Path | None) -> None:
    """Resample as torchvggish does (resampy, kaiser_best), then the front end."""
    rate = ODD_RATES.get(match["rate"], int(match["rate"]) * 1000)
    wave = resample(mono(tensors[match[0]]), rate, SAMPLE_RATE, "kaiser_best")
    log_mel = Vggish().log_mel(torch.from_numpy(cut(wave)))
    np.testing.assert_allclose(
        log_mel.numpy(), tensors[f"log_mel_examples_{match['rate']}k"], rtol=0, atol=FRONT_END_TOLERANCE
    )


def check_count(n: int, rows: int, data_path: Path | None) -> None:
    """Give as many rows as the published code gives examples; none where it fails because the sound is too short."""
    assert len(cut(np.zeros(n, np.float32))) == rows
