"""What UniQ4Cap's towers see: frames as normalised pixels, sound as mel pictures.

Source: repository LePanda026/Implementation-for-Uniq4Cap.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.encoders.networks.kaldi import fbank

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)

MEL_BANDS, MEL_FRAMES = 112, 1036
MEL_MEAN, MEL_STD = -4.2677393, 4.5689974
WINDOWS = 3

BEATS_BANDS, BEATS_FRAMES = 128, 512
BEATS_MEAN, BEATS_STD = 15.41663, 6.55582
INT16 = 2**15


def video_pixels(frames: Tensor, side: int = 224) -> Tensor:
    """Normalise, then resize the shorter side and cut the centre out, all in floats.

    Parameters
    ----------
    frames : uint8 (T, H, W, 3)
    side : pixels

    Returns
    -------
    float32 (3, T, side, side)

    Notes
    -----
    Bilinear without antialiasing; the longer side is rounded down, the corner of the cut to the nearest even.
    """
    mean, std = (torch.tensor(v, device=frames.device).view(3, 1, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    pixels = (frames.permute(3, 0, 1, 2).float() / 255 - mean) / std
    height, width = pixels.shape[2:]
    if width < height:
        size = (math.floor(height / width * side), side)
    else:
        size = (side, math.floor(width / height * side))
    pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    top, left = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return pixels[:, :, top : top + side, left : left + side]


def mel_spectrogram(wave: Tensor) -> Tensor:
    """Return float32 (frames, 112) of float32 (C, samples) at 16 kHz.

    Notes
    -----
    parity: the mean over all channels is subtracted, then only the first channel is used.
    """
    return fbank((wave - wave.mean())[0], MEL_BANDS, "hanning")


def mel_picture(mel: Tensor, frames: int = MEL_FRAMES, draw: np.random.RandomState | None = None) -> Tensor:
    """Cut or repeat a log-mel spectrogram to three pictures of fixed length, as three channels.

    Parameters
    ----------
    mel : float32 (L, bands), at least one frame
    frames : length of a picture
    draw : source of the random windows in training; None: the first window of each third

    Returns
    -------
    float32 (3, bands, frames), normalised
    """
    if len(mel) <= frames:
        mel = mel.repeat(frames // len(mel) + 1, 1)
        pictures = mel[:frames].expand(WINDOWS, -1, -1)
    else:
        pictures = torch.stack([mel[start : start + frames] for start in window_starts(len(mel), frames, draw)])
    return (pictures.transpose(1, 2) - MEL_MEAN) / (2 * MEL_STD)


def window_starts(n_frames: int, frames: int = MEL_FRAMES, draw: np.random.RandomState | None = None) -> list[int]:
    """Return the starts of three windows in a longer spectrogram, one of each third of all possible starts.

    Notes
    -----
    Without `draw` the first of each third (this project's choice outside training; published: always drawn). An empty
    third counts as one of start 0.
    """
    thirds = [part if len(part) else np.zeros(1, int) for part in np.array_split(np.arange(n_frames - frames + 1), 3)]
    return [int(third[0] if draw is None else draw.choice(third)) for third in thirds]


def beats_spectrogram(wave: Tensor) -> Tensor:
    """Return BEATs' normalised filter bank, float32 (frames, 128), of float32 (C, samples) at 16 kHz, stereo mixed."""
    mixed = wave.mean(0) if len(wave) == 2 else wave[0]
    return (fbank(mixed * INT16, BEATS_BANDS, "povey") - BEATS_MEAN) / (2 * BEATS_STD)


def fixed_length(spectrogram: Tensor, frames: int = BEATS_FRAMES) -> Tensor:
    """Cut (L, bands) to its first frames or fill up with zeros."""
    return F.pad(spectrogram[:frames], (0, 0, 0, max(0, frames - len(spectrogram))))
