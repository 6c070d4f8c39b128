"""Sound on the clock of the pictures, and windows over it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.made_clips import make_clip
from workflow_scripts.lib.media.audio import NoAudioStream, read_audio, window_starts, windows
from workflow_scripts.lib.media.media_error import DecodeError

RATE = 16000


def tone(seconds: float, channels: int = 1, level: int = 8000) -> np.ndarray:
    wave = np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE) * level
    return np.repeat(wave.astype(np.int16)[None], channels, axis=0)


def first_sound_s(samples: np.ndarray, rate: int = RATE) -> float:
    return np.flatnonzero(np.abs(samples) > 0.05)[0] / rate


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sample_zero_is_second_zero(tmp_path, suffix):
    late = make_clip(tmp_path / f"late.{suffix}", n_frames=40, sound=(0.75, tone(2)))
    samples = read_audio(late, RATE)
    assert samples.dtype == np.float32
    assert first_sound_s(samples) == pytest.approx(0.75, abs=0.005)
    assert len(samples) / RATE == pytest.approx(2.75, abs=0.07)
    prompt = make_clip(tmp_path / f"prompt.{suffix}", n_frames=40, sound=(0.0, tone(2)))
    assert first_sound_s(read_audio(prompt, RATE)) < 0.005


def test_sample_zero_is_the_start_of_a_transport_stream(tmp_path):
    late = make_clip(tmp_path / "late.ts", n_frames=40, sound=(0.75, tone(2)))
    # A transport stream does not say how much of its first AAC frame is padding: one frame, 64 ms.
    assert first_sound_s(read_audio(late, RATE)) == pytest.approx(0.75, abs=0.07)


def test_another_rate_is_resampled(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", sound=(0.0, tone(2)))
    assert len(read_audio(clip, 32000)) == pytest.approx(64000, abs=64)


def test_stereo_becomes_the_mean(tmp_path):
    mono = read_audio(make_clip(tmp_path / "mono.mkv", sound=(0.0, tone(1))), RATE)
    stereo = read_audio(make_clip(tmp_path / "stereo.mkv", sound=(0.0, tone(1, channels=2))), RATE)
    np.testing.assert_allclose(stereo, mono, atol=1e-4)
    assert np.abs(mono).max() == pytest.approx(8000 / 32768, rel=0.01)


def test_a_clip_without_sound_is_a_state_not_a_zero_vector(tmp_path):
    with pytest.raises(NoAudioStream, match=r"a\.mp4"):
        read_audio(make_clip(tmp_path / "a.mp4"), RATE)


def test_a_bad_file_is_named(tmp_path):
    with pytest.raises(DecodeError, match=r"none\.mp4"):
        read_audio(tmp_path / "none.mp4", RATE)


def test_windows_are_centred_on_their_rows():
    starts, times = window_starts(RATE, RATE, 1.0, 0.5)
    assert starts.tolist() == [-4000, 4000]
    np.testing.assert_array_equal(times, [[0, 0.5], [0.5, 1.0]])


def test_windows_are_filled_with_zeros_at_both_ends():
    samples = np.ones(RATE, np.float32)
    cuts, times = windows(samples, RATE, "1", "1/2", duration_s=2.0)
    sums = [float(cut.sum()) for cut in cuts]
    assert sums == [12000, 12000, 4000, 0]
    assert len(times) == 4


@pytest.mark.parametrize(
    ("duration_s", "hop_s", "n_rows"),
    [(150.0, 1 / 6, 900), (0.99999, 0.5, 2), (1.0001, 0.5, 2), (1.01, 0.5, 3), (0, 1, 0)],
)
def test_the_number_of_rows_ignores_rounding(duration_s, hop_s, n_rows):
    starts, times = window_starts(0, RATE, 1.0, hop_s, duration_s)
    assert (len(starts), times.shape) == (n_rows, (n_rows, 2))


@given(st.integers(1, 10**6), st.fractions(Fraction(1, 10), 4, max_denominator=12), st.fractions(Fraction(1, 12), 2))
def test_window_starts_never_drift(n_samples, window_s, hop_s):
    hop_s = hop_s.limit_denominator(24)
    starts, times = window_starts(n_samples, RATE, window_s, hop_s)
    centres_s = (starts + float(window_s) * RATE / 2) / RATE
    np.testing.assert_allclose(centres_s, times.mean(axis=1), atol=0.51 / RATE)
    assert len(starts) == 0 or times[-1, 0] < n_samples / RATE
