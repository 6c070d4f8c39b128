"""Pixels and waveform of a planned video."""

import functools
from collections.abc import Callable, Iterator

import av
import numpy as np

from workflow_scripts.lib.datasets.demo.event_plan import Event, VideoPlan, picture_times
from workflow_scripts.lib.datasets.demo.phrases import recording_path

WIDTH, HEIGHT = 128, 96
SAMPLE_RATE = 16_000
SAMPLES_PER_CS = SAMPLE_RATE // 100
RGB = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (230, 210, 50),
    "purple": (160, 60, 200),
    "white": (240, 240, 240),
}
LEVEL = 0.3
ROOM_NOISE = 0.002
FADE_S = 0.01
CHORD_RATIOS = (1.0, 1.26, 1.498)


def render_frames(plan: VideoPlan) -> Iterator[np.ndarray]:
    """Yield the frames of a video in order of time.

    Yields
    ------
    np.ndarray
        uint8, (96, 128, 3), RGB.
    """
    empty = np.full((HEIGHT, WIDTH, 3), plan.shade, dtype=np.uint8)
    for time in picture_times(plan):
        now_cs = time * 100
        event = next((e for e in plan.events if e.start_cs <= now_cs < e.end_cs), None)
        if event is None:
            yield empty
            continue
        progress = float((now_cs - event.start_cs) / (event.end_cs - event.start_cs))
        frame = empty.copy()
        frame[_look_mask(event, progress)] = RGB[event.look.colour]
        yield frame


def render_waveform(plan: VideoPlan) -> np.ndarray:
    """Return the sound of a video.

    Returns
    -------
    np.ndarray
        float32, (duration x 16000,), mono, within -1..1: the events' sounds over faint room noise.
    """
    rng = np.random.default_rng(int(plan.video_id.encode().hex(), 16))
    wave = ROOM_NOISE * rng.standard_normal(plan.duration_cs * SAMPLES_PER_CS)
    for event in plan.events:
        start, end = event.start_cs * SAMPLES_PER_CS, event.end_cs * SAMPLES_PER_CS
        wave[start:end] += _event_sound(event, end - start, rng)
    return np.clip(wave, -1, 1).astype(np.float32)


def _look_mask(event: Event, progress: float) -> np.ndarray:
    """Pixels that a look covers (True = in its colour), shape (96, 128), at a share 0..1 of the event."""
    look = event.look
    if look.shape == "background":
        return np.ones((HEIGHT, WIDTH), dtype=bool)
    radius = 20 + event.variant % 7
    centre_y = 40 + event.variant // 7 % 17
    centre_x = 48 + event.variant // 119 % 33
    if look.motion != "still":
        way = -40 + 80 * progress
        centre_x = 64 + (way if look.motion == "right" else -way)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    dy, dx = y - centre_y, x - centre_x
    if look.shape == "circle":
        return dx**2 + dy**2 <= radius**2
    if look.shape == "square":
        return np.maximum(abs(dx), abs(dy)) <= radius - 2
    return (dy <= radius) & (dy + radius >= 2 * abs(dx))


def _event_sound(event: Event, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    if event.sound is None:
        return np.zeros(n_samples)
    if event.phrase is not None and event.voice is not None:
        recording = _read_recording(event.phrase, event.voice)
        wave = np.zeros(n_samples)
        wave[: recording.size] = recording
        wave[-recording.size :] = recording
        return wave
    time = np.arange(n_samples) / SAMPLE_RATE
    wave = LEVEL * _SYNTHESISERS[event.sound](time, event.variant / 1000, rng)
    fade = np.minimum(1, np.minimum(time, time[::-1]) / FADE_S)
    return wave * fade


def _low(time: np.ndarray, pitch: float, _: np.random.Generator) -> np.ndarray:
    f = 110 + 60 * pitch
    return 0.7 * np.sin(2 * np.pi * f * time) + 0.3 * np.sin(4 * np.pi * f * time)


def _high(time: np.ndarray, pitch: float, _: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * (1800 + 800 * pitch) * time)


def _clicks(time: np.ndarray, pitch: float, _: np.random.Generator) -> np.ndarray:
    since_click = np.mod(time, 1 / (6 + 4 * pitch))
    return 2 * np.exp(-since_click * 300) * np.sin(2 * np.pi * 1200 * since_click)


def _noise(time: np.ndarray, _: float, rng: np.random.Generator) -> np.ndarray:
    return 0.5 * rng.standard_normal(time.size)


def _chord(time: np.ndarray, pitch: float, _: np.random.Generator) -> np.ndarray:
    root = 330 + 160 * pitch
    return sum((np.sin(2 * np.pi * root * ratio * time) for ratio in CHORD_RATIOS), np.zeros_like(time)) / 3


def _siren(time: np.ndarray, pitch: float, _: np.random.Generator) -> np.ndarray:
    swings_per_s = 0.8 + 0.6 * pitch
    return np.sin(2 * np.pi * 900 * time - 300 / swings_per_s * np.cos(2 * np.pi * swings_per_s * time))


_SYNTHESISERS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "low": _low,
    "high": _high,
    "clicks": _clicks,
    "noise": _noise,
    "chord": _chord,
    "siren": _siren,
}


@functools.cache
def _read_recording(phrase: str, voice: str) -> np.ndarray:
    """Samples of a recorded phrase at 16 kHz."""
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    with av.open(str(recording_path(phrase, voice))) as container:
        decoded = [*container.decode(audio=0), None]
        frames = [part for frame in decoded for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
