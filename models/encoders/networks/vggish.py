"""VGGish (Hershey et al. 2017, arXiv 1609.09430) as harritaylor/torchvggish publishes it, with its log-mel front end.

State-dict keys are those of torchvggish; `pca_eigen_vectors` and `pca_means` are those of its PCA file.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

SAMPLE_RATE = 16000
FRAME_SAMPLES, HOP_SAMPLES, N_FFT = 400, 160, 512
MEL_BANDS = 64
MIN_HZ, MAX_HZ = 125.0, 7500.0
LOG_OFFSET = 0.01
FRAMES = 96
"""Spectrogram frames that one row sees."""
WINDOW_SAMPLES = (FRAMES - 1) * HOP_SAMPLES + FRAME_SAMPLES
"""15600: 0.975 s; rows follow each other every 96 frames, 0.96 s."""
DIM = 128
CHANNELS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
PCA_LIMIT = 2.0
PCA_KEYS = ("pca_eigen_vectors", "pca_means")


def htk_mel(hz: np.ndarray | float) -> np.ndarray:
    """Hertz to mel by the formula of HTK."""
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


def mel_filters() -> np.ndarray:
    """Return filters that are triangles on the mel axis and never see the bin at 0 Hz; float64 (257, 64)."""
    bins = htk_mel(np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1))[:, None]
    edges = np.linspace(htk_mel(MIN_HZ), htk_mel(MAX_HZ), MEL_BANDS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    filters[0] = 0.0
    return filters


class Vggish(nn.Module):
    """Log-mel front end and VGG network with 128 values per 0.975 s of sound.

    Parameters
    ----------
    width_divisor : all layers but the last are this many times narrower (published: 1)
    """

    def __init__(self, width_divisor: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = 1
        for channels in CHANNELS:
            if channels == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                n_out = channels // width_divisor
                layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU()]
                n_in = n_out
        self.features = nn.Sequential(*layers)
        hidden = 4096 // width_divisor
        pooled = n_in * (FRAMES // 16) * (MEL_BANDS // 16)
        sizes = (pooled, hidden, hidden, DIM)
        self.embeddings = nn.Sequential(*(layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())))
        # float64 as the published front end, which is numpy.
        window = torch.hann_window(FRAME_SAMPLES, periodic=True, dtype=torch.float64)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters()), persistent=False)

    def log_mel(self, wave: Tensor) -> Tensor:
        """Return the log-mel spectrogram, of magnitudes and without padding.

        Parameters
        ----------
        wave : float (B, samples >= 400) at 16 kHz, in [-1, 1]

        Returns
        -------
        float32 (B, 1 + (samples - 400) // 160, 64)
        """
        frames = wave.double().unfold(1, FRAME_SAMPLES, HOP_SAMPLES) * self.window
        magnitudes = torch.fft.rfft(frames, N_FFT).abs()
        return torch.log(magnitudes @ self.filters + LOG_OFFSET).float()

    def embed(self, log_mel: Tensor) -> Tensor:
        """Embed spectrograms: float32 (B, 96, 64) -> (B, 128), not negative."""
        # The front end and the dense layers stay in float32, the convolutions have the type of their weights.
        maps = self.features(log_mel.unsqueeze(1).to(self.features[0].weight.dtype)).float()
        # The dense layers come from TensorFlow, where channels are last.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))

    def forward(self, wave: Tensor) -> Tensor:
        """Embed waveforms: float (B, 15600) at 16 kHz, in [-1, 1] -> float32 (B, 128).

        Raises
        ------
        ValueError
            the waveforms are not 15600 samples long
        """
        if wave.shape[-1] != WINDOW_SAMPLES:
            raise ValueError(
                f"VGGish sees windows of {WINDOW_SAMPLES} samples (0.975 s at 16 kHz), not {wave.shape[-1]}"
            )
        return self.embed(self.log_mel(wave))


class AudioSetPca(nn.Module):
    """Whitening and 8-bit quantisation with which AudioSet published its features.

    Parameters
    ----------
    quantise : round to 0..255; otherwise the whitened values are returned unclipped
    """

    def __init__(self, quantise: bool) -> None:
        super().__init__()
        self.quantise = quantise
        self.register_buffer("pca_eigen_vectors", torch.zeros(DIM, DIM))
        self.register_buffer("pca_means", torch.zeros(DIM, 1))

    def forward(self, embedding: Tensor) -> Tensor:
        """Return float32 (B, 128): whitened, and as whole numbers 0..255 if quantised."""
        whitened = (embedding - self.pca_means.T) @ self.pca_eigen_vectors.T
        if not self.quantise:
            return whitened
        steps = 255 / (2 * PCA_LIMIT)
        return torch.round((whitened.clamp(-PCA_LIMIT, PCA_LIMIT) + PCA_LIMIT) * steps)
