"""Windows of published audio features, and the resamplers that they were made with."""

import numpy as np
import pytest

from tests.unit.made_clips import make_clip
from tests.unit.made_sounds import write_wave
from workflow_scripts.lib.media.audio import read_audio, resample, window_starts, windows

RATE = 16000


@pytest.mark.parametrize(("samples", "rows"), [(15599, 0), (15600, 1), (30959, 1), (30960, 2), (0, 0)])
def test_vggish_sees_only_whole_windows_that_start_with_their_row(samples, rows):
    starts, times = window_starts(samples, RATE, 0.975, 0.96, 100.0, align="start", tail="drop")
    assert starts.tolist() == [15360 * i for i in range(rows)]
    np.testing.assert_allclose(times, [[0.96 * i, 0.96 * (i + 1)] for i in range(rows)] or np.zeros((0, 2)))


def test_two_second_windows_side_by_side_drop_the_rest():
    starts, times = window_starts(32000 * 7 + 100, 32000, 2.0, 2.0, 7.5, align="start", tail="drop")
    assert starts.tolist() == [0, 64000, 128000]
    assert times.tolist() == [[0, 2], [2, 4], [4, 6]]


def test_centred_windows_that_leave_the_sound_are_dropped_and_the_others_keep_their_times():
    starts, times = window_starts(3 * RATE, RATE, 1.0, 0.5, None, tail="drop")
    assert starts.tolist() == [4000, 12000, 20000, 28000]
    assert times[:, 0].tolist() == [0.5, 1.0, 1.5, 2.0]


def test_the_end_of_a_window_that_starts_with_its_row_is_silence_if_padded():
    wave = np.ones(RATE, np.float32)
    cuts, times = windows(wave, RATE, 1.0, 0.5, 1.0, align="start", tail="pad")
    assert [cut.sum() for cut in cuts] == [RATE, RATE / 2]
    assert len(times) == 2


@pytest.mark.parametrize("resampler", ["soxr_hq", "kaiser_best"])
def test_a_tone_keeps_its_pitch_and_level(resampler):
    tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    found = resample(tone, 44100, RATE, resampler)
    assert found.dtype == np.float32
    assert len(found) == RATE
    expected = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(found[1000:-1000], expected[1000:-1000], atol=1e-2)


def test_equal_rates_and_no_sound_are_left_alone():
    wave = np.random.default_rng(0).uniform(-1, 1, 100).astype(np.float32)
    assert np.array_equal(resample(wave, RATE, RATE, "soxr_hq"), wave)
    assert resample(np.zeros(0, np.float32), 44100, RATE, "kaiser_best").shape == (0,)
    with pytest.raises(ValueError, match="'ffmpeg' resamples while it decodes"):
        resample(wave, 44100, RATE, "ffmpeg")


def test_every_resampler_reads_the_same_sound_of_a_video(tmp_path):
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(2 * 44100) / 44100)).astype(np.int16)[None]
    make_clip(tmp_path / "v.mp4", n_frames=20, sound=(0.0, tone), sample_rate=44100)
    plain, *others = (
        read_audio(tmp_path / "v.mp4", RATE, resampler=name) for name in ("ffmpeg", "soxr_hq", "kaiser_best")
    )
    for wave in others:
        assert abs(len(wave) - len(plain)) <= 1
        middle = slice(RATE // 2, RATE)
        assert np.abs(wave[middle] - plain[middle]).max() < 0.01


@pytest.fixture
def stereo(tmp_path):
    """Second-long tones of 200 and 300 Hz on the left and right at 44.1 kHz: the file and its samples."""
    seconds = np.arange(44100) / 44100
    samples = np.stack([np.sin(2 * np.pi * hz * seconds) for hz in (200, 300)]).astype(np.float32) / 2
    return write_wave(tmp_path / "sound.wav", samples, 44100), samples


def test_all_channels_are_kept_apart_bit_for_bit(stereo):
    path, samples = stereo
    assert np.array_equal(read_audio(path, 44100, channels="all"), samples)
    assert np.array_equal(read_audio(path, 44100, channels="all", resampler="sinc_hann"), samples)
    assert read_audio(path, 44100).shape == (44100,)


@pytest.mark.parametrize("name", ["ffmpeg", "soxr_hq", "kaiser_best", "sinc_hann"])
def test_every_resampler_keeps_channels_and_tones(stereo, name):
    path, _ = stereo
    found = read_audio(path, RATE, resampler=name, channels="all")
    seconds = np.arange(RATE) / RATE
    expected = np.stack([np.sin(2 * np.pi * hz * seconds) for hz in (200, 300)]) / 2
    assert found.shape == (2, RATE)
    assert np.abs(found - expected)[:, 200:-200].max() < 2e-3


def test_one_channel_alone_is_resampled_as_in_company(stereo):
    _, samples = stereo
    both = resample(samples, 44100, RATE, "sinc_hann")
    assert np.allclose(both[1], resample(samples[1], 44100, RATE, "sinc_hann"), atol=1e-6)


def test_windows_cut_all_channels():
    sound = np.arange(20, dtype=np.float32).reshape(2, 10)
    cuts, times = windows(sound, 5, window_s=1, hop_s=1, align="start")
    assert [cut.tolist() for cut in cuts][1] == [[5, 6, 7, 8, 9], [15, 16, 17, 18, 19]]
    assert len(times) == 2
