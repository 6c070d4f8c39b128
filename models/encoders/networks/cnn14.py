"""PANNs Cnn14 (Kong et al. 2020, arXiv 1912.10211; qiuqiangkong/audioset_tagging_cnn) with a width argument.

State-dict keys are the published ones without the analytic front end (`spectrogram_extractor.*`,
`logmel_extractor.*`), which is computed with `torch.stft` here.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE = 32000
N_FFT = 1024
HOP_SAMPLES = 320
MEL_BANDS = 64
MIN_HZ, MAX_HZ = 50.0, 14000.0
FLOOR_POWER = 1e-10
MIN_SAMPLES = 31 * HOP_SAMPLES
"""Five halvings of the time axis need 32 spectrogram frames."""
ANALYTIC_KEYS = ("spectrogram_extractor.", "logmel_extractor.")


def slaney_mel(hz: np.ndarray | float) -> np.ndarray:
    """Hertz to mel by Slaney's formula: linear below 1 kHz (200/3 Hz per mel), logarithmic above."""
    hz = np.asarray(hz, dtype=np.float64)
    log_step = np.log(6.4) / 27
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1e-9) / 1000) / log_step)


def slaney_hz(mel: np.ndarray) -> np.ndarray:
    """Inverse of `slaney_mel`."""
    log_step = np.log(6.4) / 27
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(log_step * (mel - 15)))


def mel_filters() -> np.ndarray:
    """Return the triangular mel filters, each of unit area in Hz; float32 (513, 64)."""
    bins = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    edges = slaney_hz(np.linspace(slaney_mel(MIN_HZ), slaney_mel(MAX_HZ), MEL_BANDS + 2))
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - left) / (centre - left)
    falling = (right - bins[:, None]) / (right - centre)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * 2 / (right - left)).astype(np.float32)


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU."""

    FOLDS = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))


class Cnn14(nn.Module):
    """Log-mel front end, six convolution blocks, pooled embedding and AudioSet head.

    Parameters
    ----------
    base_width : channels of the first block (published: 64); the embedding is 32 times as wide
    n_classes : width of the tagging head
    """

    def __init__(self, base_width: int = 64, n_classes: int = 527) -> None:
        super().__init__()
        widths = [base_width * 2**i for i in range(6)]
        self.dim = widths[-1]
        self.bn0 = nn.BatchNorm2d(MEL_BANDS)
        for i, (n_in, n_out) in enumerate(zip([1, *widths], widths, strict=False), start=1):
            setattr(self, f"conv_block{i}", ConvBlock(n_in, n_out))
        self.fc1 = nn.Linear(self.dim, self.dim)
        self.fc_audioset = nn.Linear(self.dim, n_classes)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters()), persistent=False)

    def log_mel(self, wave: Tensor) -> Tensor:
        """Return the log-mel spectrogram, dB without a top limit.

        Parameters
        ----------
        wave : float32 (B, samples) at 32 kHz

        Returns
        -------
        float32 (B, 1 + samples // 320, 64)
        """
        spectrum = torch.stft(
            wave, N_FFT, HOP_SAMPLES, window=self.window, center=True, pad_mode="reflect", return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return 10 * torch.log10((power.transpose(1, 2) @ self.filters).clamp(min=FLOOR_POWER))

    def convolutions(self) -> list[nn.Module]:
        """Return the six blocks, which may run in another precision than the rest."""
        return [getattr(self, f"conv_block{i}") for i in range(1, 7)]

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Embed waveforms.

        Parameters
        ----------
        wave : float32 (B, samples >= 9920) at 32 kHz, in [-1, 1]

        Returns
        -------
        embedding (B, D) after ReLU, class probabilities (B, 527)

        Raises
        ------
        ValueError
            the waveforms are shorter than the network's five halvings allow
        """
        if wave.shape[-1] < MIN_SAMPLES:
            raise ValueError(f"Cnn14 needs at least {MIN_SAMPLES} samples (0.31 s at 32 kHz), got {wave.shape[-1]}")
        x = self.log_mel(wave).unsqueeze(1)
        # The front end and the pooled rows stay in float32, the convolutions have the type of their weights.
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3).to(self.conv_block1.conv1.weight.dtype)
        *halving, last = self.convolutions()
        for block in halving:
            x = F.avg_pool2d(block(x), 2)
        x = last(x)
        x = x.float().mean(dim=3)
        embedding = F.relu(self.fc1(x.amax(dim=2) + x.mean(dim=2)))
        return embedding, torch.sigmoid(self.fc_audioset(embedding))
