"""Mean of the hidden states of a speech network, loaded: settings are in `models.encoders.spoken_mean`."""

import re
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from models.encoders.interface import Weights
from models.encoders.spoken_mean import Config
from models.weights import seeded_state

SAMPLE_RATE = 16000
MIN_SAMPLES = 400
"""What the convolutions of the wave networks need for one step; shorter queries are padded with silence."""
VARIANCE_OFFSET = 1e-7
LAYER_NORM_EPS = 1e-5


class Family(NamedTuple):
    """Class names in transformers, the prefix of the encoder's keys in checkpoints, and the heads that are left out."""

    network: str
    config: str
    prefix: str
    heads: tuple[str, ...]


FAMILIES = {
    "wav2vec2": Family("Wav2Vec2Model", "Wav2Vec2Config", "wav2vec2.", ("lm_head.",)),
    "data2vec_audio": Family("Data2VecAudioModel", "Data2VecAudioConfig", "data2vec_audio.", ("lm_head.",)),
    "unispeech_sat": Family("UniSpeechSatModel", "UniSpeechSatConfig", "unispeech_sat.", ("lm_head.",)),
    "ast": Family("ASTModel", "ASTConfig", "audio_spectrogram_transformer.", ("classifier.",)),
}
RENAMED = (
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
    (r"^encoder\.layer\.(\d+)\.attention\.attention\.(q|k|v)(uery|ey|alue)\.", r"layers.\1.attention.\2_proj."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"layers.\1.attention.o_proj."),
    (r"^encoder\.layer\.(\d+)\.intermediate\.dense\.", r"layers.\1.mlp.fc1."),
    (r"^encoder\.layer\.(\d+)\.output\.dense\.", r"layers.\1.mlp.fc2."),
    (r"^encoder\.layer\.(\d+)\.(layernorm_\w+)\.", r"layers.\1.\2."),
)
"""Names in published files -> in today's networks: weight normalisation of older torch versions, AST's layers."""


class SpokenMeanEncoder:
    """One row per query: hidden states, each normalised to mean 0 and variance 1, averaged over time."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.device, family = device, FAMILIES[config.architecture]
        sizes = getattr(transformers, family.config)(**config.sizes)
        network = getattr(transformers, family.network)(sizes)
        if isinstance(weights, int):
            shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
            arrays = seeded_state(shapes, weights, config.random_gain)
            state = {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}
        else:
            state = encoder_state(weights, family)
        network.load_state_dict(state, strict=True)
        self.network = network.eval().to(device)
        self.dim = sizes.hidden_size
        self.spectrogram = None
        if config.architecture == "ast":
            self.spectrogram = transformers.ASTFeatureExtractor(
                num_mel_bins=sizes.num_mel_bins, max_length=sizes.max_length
            )

    @torch.inference_mode()
    def encode(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        # One at a time: padding would change what the networks see.
        return [self._row(np.asarray(wave, np.float32)) for wave in batch]

    def _row(self, wave: np.ndarray) -> np.ndarray:
        if self.spectrogram is not None:
            inputs = self.spectrogram(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_values"]
        else:
            inputs = torch.from_numpy(standardised(wave))[None]
        hidden = self.network(inputs.to(self.device)).last_hidden_state.float()
        # A fresh LayerNorm of MRNet, never trained.
        normalised = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=LAYER_NORM_EPS)
        return normalised.mean(dim=1).cpu().numpy()


def standardised(wave: np.ndarray) -> np.ndarray:
    """Return a waveform with mean 0 and variance 1, padded to the shortest that the networks take."""
    wave = (wave - wave.mean()) / np.sqrt(wave.var() + VARIANCE_OFFSET) if len(wave) else wave
    return np.pad(wave, (0, max(0, MIN_SAMPLES - len(wave)))).astype(np.float32)


def encoder_state(checkpoint: dict[str, Any], family: Family) -> dict[str, Any]:
    """Return the encoder's part of a checkpoint under the names of its network."""
    state = {}
    for key, value in checkpoint.items():
        if not key.startswith(family.heads):
            name = key.removeprefix(family.prefix)
            for pattern, new in RENAMED:
                name = re.sub(pattern, new, name)
            state[name] = value
    return state
