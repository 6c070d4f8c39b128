"""Sounds whose samples are exactly known: files, and an hour in which nobody speaks."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_wave(path: Path, samples: np.ndarray, rate: int) -> Path:
    """Write float32 (C, N), one or two channels, as raw 32-bit floats (.mkv or .wav)."""
    layout = "mono" if len(samples) == 1 else "stereo"
    packed = np.ascontiguousarray(samples.T.reshape(1, -1), np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sounds_of_nobody(minutes: int, sample_rate: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield sounds of a minute in which nobody speaks: silence, tones, music, noise, in turn, none like another.

    Yields
    ------
    float32 (60 * sample_rate,)
    """
    rng, n = np.random.default_rng(seed), 60 * sample_rate
    seconds = np.arange(n) / sample_rate
    makers = (_silence, _tones, _music, _noise)
    for minute in range(minutes):
        loudness = 10.0 ** rng.uniform(-2, -0.5)
        sound = makers[minute % len(makers)](seconds, rng)
        yield (loudness * sound / max(1.0, np.abs(sound).max())).astype(np.float32)


def _silence(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nothing, or the hum and hiss of a recorder."""
    hum = np.sin(2 * np.pi * rng.choice([50.0, 60.0]) * seconds)
    return rng.choice([0.0, 1e-3]) * (hum + 0.3 * rng.standard_normal(seconds.size))


def _tones(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sine, a siren, or the beeps of a machine."""
    hz = rng.uniform(100, 3000)
    sweep = rng.choice([0.0, 0.2]) * hz * np.sin(2 * np.pi * rng.uniform(0.1, 2) * seconds)
    is_on = np.sin(2 * np.pi * rng.uniform(0.3, 3) * seconds) > rng.choice([-1.0, 0.3])
    return is_on * np.sin(2 * np.pi * np.cumsum(hz + sweep) * (seconds[1] - seconds[0]))


def _music(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A melody with overtones over chords and drums."""
    beat_s = rng.uniform(0.25, 0.6)
    beat = (seconds / beat_s).astype(int)
    since_s = seconds - beat * beat_s
    scale = 220.0 * 2.0 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    melody, chord = scale[rng.integers(0, 8, beat[-1] + 1)][beat], scale[rng.integers(0, 8, beat[-1] + 1)][beat // 4]
    sound = np.exp(-3 * since_s) * sum(np.sin(2 * np.pi * k * melody * since_s) / k for k in (1, 2, 3, 4))
    sound += 0.3 * sum(np.sin(2 * np.pi * ratio * chord * seconds) for ratio in (1, 1.26, 1.5))
    return sound + 0.5 * np.exp(-30 * since_s) * rng.standard_normal(seconds.size)


def _noise(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White, pink or brown noise, which may come and go like waves."""
    spectrum = np.fft.rfft(rng.standard_normal(seconds.size))
    spectrum[1:] /= np.arange(1, spectrum.size) ** rng.choice([0.0, 0.5, 1.0])
    sound = np.fft.irfft(spectrum, seconds.size)
    swell = 1 + rng.choice([0.0, 0.9]) * np.sin(2 * np.pi * rng.uniform(0.05, 0.5) * seconds)
    return swell * sound / np.abs(sound).max()
