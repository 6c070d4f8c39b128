"""Cases of Whisper's log-mel spectrogram: `whisper_mel.safetensors`; both engines' front ends are compared with it."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.parity.harness import Check

INT16 = 32768
TOLERANCE = 1e-5
SAMPLE_RATE = 16_000
EVERY = 25
"""Long unpadded spectrograms are stored every so many frames."""
LONG_SAMPLES = 40_000
SPECTRA = re.compile(r"logmel(?P<bands>\d+)_(?P<form>nopad|pad(?P<pad_s>\d+)s_first(?P<n_frames>\d+))_(?P<n>\d+)")


def claims(folder: Path) -> bool:
    """Return whether the folder holds the spectrograms."""
    return (folder / "whisper_mel.safetensors").is_file()


def checks(folder: Path) -> list[Check]:
    """Return one check per spectrogram and engine."""
    tensors = load_file(folder / "whisper_mel.safetensors")
    found = []
    for name in sorted(tensors):
        if match := SPECTRA.fullmatch(name):
            for engine, function in (("openai", openai_mel), ("faster", faster_mel)):
                found.append(Check(f"{name}-{engine}", partial(check_spectrum, tensors, match, function)))
    return found


def openai_mel(wave: np.ndarray, bands: int, padding: int) -> np.ndarray:
    whisper = pytest.importorskip("whisper")
    return whisper.log_mel_spectrogram(wave, bands, padding=padding).numpy()


def faster_mel(wave: np.ndarray, bands: int, padding: int) -> np.ndarray:
    module = pytest.importorskip("faster_whisper.feature_extractor")
    return module.FeatureExtractor(feature_size=bands)(wave, padding=padding)


def check_spectrum(
    tensors: dict[str, np.ndarray],
    match: re.Match,
    function: Callable[[np.ndarray, int, int], np.ndarray],
    data_path: Path | None,
) -> None:
    n = int(match["n"])
    wave = tensors[f"wav16k_int16_{n}"].astype(np.float32) / INT16
    found = function(wave, int(match["bands"]), int(match["pad_s"] or 0) * SAMPLE_RATE)
    if match["n_frames"]:
        found = found[:, : int(match["n_frames"])]
    elif n >= LONG_SAMPLES:
        found = found[:, ::EVERY]
    np.testing.assert_allclose(found, tensors[match[0]], rtol=0, atol=TOLERANCE)
