"""Kaldi's filter bank in plain torch, for LanguageBind and BEATs."""

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLE_RATE = 16000
FRAME_SAMPLES = 400
HOP_SAMPLES = 160
N_FFT = 512
PRE_EMPHASIS = 0.97
MIN_HZ = 20.0
POVEY_EXPONENT = 0.85
FLOOR = torch.finfo(torch.float32).eps


def fbank(wave: Tensor, bands: int, window: str) -> Tensor:
    """Return log mel energies as `torchaudio.compliance.kaldi.fbank` gives them without dither and energy.

    Parameters
    ----------
    wave : float (samples,) at 16 kHz
    bands : triangular filters from 20 Hz to 8 kHz
    window : `hanning` or `povey`

    Returns
    -------
    float32 (1 + (samples - 400) // 160, bands); no frame if there are fewer than 400 samples
    """
    if len(wave) < FRAME_SAMPLES:
        return wave.new_zeros(0, bands)
    frames = wave.unfold(0, FRAME_SAMPLES, HOP_SAMPLES)
    frames = frames - frames.mean(1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    taper = torch.hann_window(FRAME_SAMPLES, periodic=False, dtype=wave.dtype, device=wave.device)
    if window == "povey":
        taper = taper**POVEY_EXPONENT
    power = torch.fft.rfft((frames - PRE_EMPHASIS * before) * taper, N_FFT).abs().square()
    return (power @ mel_bank(bands).to(power)).clamp(min=FLOOR).log()


def mel_bank(bands: int) -> Tensor:
    """Return Kaldi's triangles, float64 (257, bands): straight in mel, not normalised, nothing at 8 kHz."""

    def mel(hz: Tensor) -> Tensor:
        return 1127 * torch.log1p(hz / 700)

    limits = mel(torch.tensor([MIN_HZ, SAMPLE_RATE / 2], dtype=torch.float64))
    edges = torch.linspace(limits[0], limits[1], bands + 2, dtype=torch.float64)
    bins = mel(torch.arange(N_FFT // 2, dtype=torch.float64) * SAMPLE_RATE / N_FFT)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 0, 0, 1))
