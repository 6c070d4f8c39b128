"""Sound of a video on the clock of its pictures, and sliding windows over it."""

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import ffmpeg as ffmpeg_python
import numpy as np

from workflow_scripts.lib.media.containers import OPTIONS, open_media
from workflow_scripts.lib.media.ffmpeg import file_url, read_blocks
from workflow_scripts.lib.media.media_error import DecodeError, NoAudioStream
from workflow_scripts.lib.media.plausible import PLAUSIBLE
from workflow_scripts.lib.media.sampling import as_rational

_BLOCK_BYTES = 2**20
Resampler = Literal["ffmpeg", "soxr_hq", "kaiser_best", "sinc_hann"]
Channels = Literal["mono", "all"]
Tail = Literal["pad", "drop", "short"]
# torchaudio.functional.resample: lowpass_filter_width and rolloff.
_SINC_ZEROS, _ROLLOFF = 6, 0.99
# Durations come from float64 seconds and packet clocks; a tail of less than this part of a hop is rounding.
_ROUNDING = Fraction(1, 1000)


def read_audio(
    path: Path | str,
    sample_rate: int,
    ffmpeg: str | None = None,
    resampler: Resampler = "ffmpeg",
    channels: Channels = "mono",
    longest_s: float = PLAUSIBLE.duration_s,
) -> np.ndarray:
    """Read the first sound stream.

    Parameters
    ----------
    path : Path or str
        The video.
    sample_rate : int
        Wanted samples per second.
    ffmpeg : str, optional
        As `ffmpeg_exe`.
    resampler : {"ffmpeg", "soxr_hq", "kaiser_best", "sinc_hann"}
        As `resample`; `ffmpeg` is its own, in the decoding process.
    channels : {"mono", "all"}
        Whether channels are mixed or kept.
    longest_s : float
        Longest sound that is believed: a wrong clock states more, and silence would be read for all of it.

    Returns
    -------
    float32 (N,), or (C, N) with all channels
        In [-1, 1]. Sample 0 is second 0 of the container, the zero of the frame plans: a stream that starts later is
        padded with silence, one that starts earlier is cut; gaps inside the stream are filled with silence.

    Raises
    ------
    NoAudioStream
        If the file has no sound.
    DecodeError
        If the file or its sound cannot be read, or is longer than that.

    Notes
    -----
    Stereo becomes the mean of its channels; more channels are mixed with ffmpeg's weights, scaled so that full scale
    stays full scale (ffmpeg itself does so for integer samples only).
    """
    try:
        with open_media(path) as container:
            has_sound = bool(container.streams.audio)
            native_rate = container.streams.audio[0].rate if has_sound else 0
            n_channels = container.streams.audio[0].layout.nb_channels if has_sound else 0
            start_s = (container.start_time or 0) / av.time_base
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DecodeError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error}).") from error
    if not has_sound:
        raise NoAudioStream(f"{path}: no sound.")
    decoded_rate = sample_rate if resampler == "ffmpeg" else native_rate
    source = ffmpeg_python.input(file_url(path), threads=1, copyts=None, **OPTIONS)
    on_our_clock = source["a:0"].filter("asetpts", f"PTS-{start_s:.6f}/TB")
    mixed = {"ochl": "mono", "rematrix_maxval": 1} if channels == "mono" else {}
    resampled = on_our_clock.filter("aresample", decoded_rate, osf="flt", first_pts=0, **{"async": 1}, **mixed)
    n_kept = 1 if channels == "mono" else n_channels
    sink = ffmpeg_python.output(resampled, "pipe:1", format="f32le", acodec="pcm_f32le", ac=n_kept)
    samples = bytearray()
    most_bytes = longest_s * decoded_rate * n_kept * np.dtype("<f4").itemsize
    with contextlib.closing(read_blocks(sink, _BLOCK_BYTES, ffmpeg)) as blocks:
        for block in blocks:
            samples += block
            if len(samples) > most_bytes:
                raise DecodeError(f"{path}: its sound lasts more than {longest_s:,.0f} s: its clock is wrong.")
    sound = np.frombuffer(samples, "<f4")
    if channels == "all":
        sound = sound.reshape(-1, n_kept).T
    return resample(sound, decoded_rate, sample_rate, resampler)


def resample(samples: np.ndarray, from_rate: int, to_rate: int, resampler: Resampler) -> np.ndarray:
    """Resample a sound as published extractors do.

    Parameters
    ----------
    samples : float (N,) or (C, N)
        The sound.
    from_rate, to_rate : int
        Samples per second; nothing is done where they are equal.
    resampler : {"ffmpeg", "soxr_hq", "kaiser_best", "sinc_hann"}
        `soxr_hq` is librosa's default (PANNs and wav2vec2 scripts), `kaiser_best` resampy's (torchvggish), `sinc_hann`
        torchaudio's (LanguageBind, UniQ4Cap).

    Returns
    -------
    float32 (M,) or (C, M)

    Raises
    ------
    ValueError
        If `resampler` is `ffmpeg`, which resamples while it decodes.
    """
    if from_rate == to_rate or not samples.size:
        return np.asarray(samples, np.float32)
    if resampler == "soxr_hq":
        import soxr

        return soxr.resample(samples.T, from_rate, to_rate, "HQ").T.astype(np.float32)
    if resampler == "kaiser_best":
        import resampy

        return resampy.resample(samples, from_rate, to_rate, filter="kaiser_best").astype(np.float32)
    if resampler == "sinc_hann":
        return _sinc_hann(samples, from_rate, to_rate)
    raise ValueError(f"{resampler!r} resamples while it decodes: use read_audio")


def _sinc_hann(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample (..., N) by a Hann-windowed sinc of six zeros with roll-off 0.99: torchaudio's default."""
    divisor = math.gcd(from_rate, to_rate)
    old, new = from_rate // divisor, to_rate // divisor
    cutoff = min(old, new) * _ROLLOFF
    reach = math.ceil(_SINC_ZEROS * old / cutoff)
    # One filter per output phase; time in units of the cut-off's zero crossings.
    time = np.arange(-reach, reach + old) / old - np.arange(new)[:, None] / new
    zeros = np.clip(time * cutoff, -_SINC_ZEROS, _SINC_ZEROS)
    taper = np.cos(zeros * math.pi / _SINC_ZEROS / 2) ** 2
    filters = (np.sinc(zeros) * taper * cutoff / old).astype(np.float32)
    around = [(0, 0)] * (samples.ndim - 1) + [(reach, reach + old)]
    padded = np.pad(np.asarray(samples, np.float32), around)
    steps = np.lib.stride_tricks.sliding_window_view(padded, filters.shape[1], axis=-1)[..., ::old, :]
    found = (steps @ filters.T).reshape(*samples.shape[:-1], -1)
    return found[..., : math.ceil(new * samples.shape[-1] / old)]


def windows(
    samples: np.ndarray,
    sample_rate: int,
    window_s: float | str | Fraction,
    hop_s: float | str | Fraction,
    duration_s: float | None = None,
    align: Literal["centre", "start"] = "centre",
    tail: Tail = "pad",
) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """Slide a window over a sound; row i stands for the seconds [i * hop, (i + 1) * hop).

    Parameters
    ----------
    samples : float32 (N,) or (C, N)
        The sound.
    sample_rate : int
        Samples per second.
    window_s, hop_s : float, str or Fraction
        Length of a window and distance of rows, in seconds; `"1/6"` and 0.16666666666666666 mean one sixth.
    duration_s : float, optional
        What the rows should cover, as a rule the duration of the video; without it the length of the sound.
    align : {"centre", "start"}
        Whether a window is centred on its row or starts with it.
    tail : {"pad", "drop", "short"}
        `drop`: only windows that lie wholly in the sound, whatever the duration (VGGish; PANNs of UMT). `short`: rows
        cover the sound, and the last window ends with it.

    Returns
    -------
    cuts : iterator of T arrays float32 (W,) or (C, W)
        The windows, made one by one; zeros before the start and after the end of the sound.
    times : float64 (T, 2)
        Start and end second of each row.
    """
    starts, times = window_starts(samples.shape[-1], sample_rate, window_s, hop_s, duration_s, align, tail)
    n_window = round(as_rational(window_s) * sample_rate)
    if tail == "short":
        return (samples[..., start : start + n_window] for start in starts.tolist()), times
    return (_cut(samples, start, n_window) for start in starts.tolist()), times


def window_starts(
    n_samples: int,
    sample_rate: int,
    window_s: float | str | Fraction,
    hop_s: float | str | Fraction,
    duration_s: float | None = None,
    align: Literal["centre", "start"] = "centre",
    tail: Tail = "pad",
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first sample of each window, int64 (T,), and `times`; parameters as `windows`.

    Notes
    -----
    A window that is centred on its row may start below 0 and end after the sound. With `pad`, T = ceil(duration / hop -
    1/1000): a last row that would hold less than a thousandth of a hop is rounding. With `drop`, rows are left out
    whose window does not lie in the sound; the others keep their times.
    """
    window, hop = as_rational(window_s), as_rational(hop_s)
    sound_s = Fraction(n_samples, sample_rate)
    length = sound_s if duration_s is None or tail != "pad" else Fraction(duration_s)
    n_rows = max(0, math.ceil(length / hop - _ROUNDING))
    offset = (hop - window) / 2 if align == "centre" else Fraction(0)
    starts = np.array([round((i * hop + offset) * sample_rate) for i in range(n_rows)], np.int64)
    edges = np.array([i * hop.numerator / hop.denominator for i in range(n_rows + 1)])
    times = np.stack([edges[:-1], edges[1:]], axis=1)
    if tail == "drop":
        fits = (starts >= 0) & (starts + round(window * sample_rate) <= n_samples)
        starts, times = starts[fits], times[fits]
    return starts, times


def _cut(samples: np.ndarray, start: int, n_window: int) -> np.ndarray:
    window = np.zeros((*samples.shape[:-1], n_window), np.float32)
    low, high = max(start, 0), min(start + n_window, samples.shape[-1])
    if low < high:
        window[..., low - start : high - start] = samples[..., low:high]
    return window
