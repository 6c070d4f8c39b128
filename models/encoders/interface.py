"""What an encoder module gives to the extraction jobs.

A module `models/encoders/<name>.py` is importable without torch, so that planning can read its settings. What needs
torch is a class at the top of `models/encoders/with_torch/<name>.py`, which `load` imports when it is called. The first
module has

- `KIND`: `visual`, `audio`, `text`, `spoken` (the sound of a query) or `speech`, what it reads;
- `RECIPE_VERSION`: raised by hand whenever a change of the code changes its numbers;
- `TAKES_WEIGHTS = False` if it has none (feature files then say `weights: none`); left out otherwise;
- `TAKES_CHANNELS = True` if it is for sound and takes all channels as well as mono;
- `Config`: a pydantic model, the `params` of a feature file;
- `MORE_WEIGHTS`: names of further networks with weights of their own (`more_weights` of a feature file), if any;
- `load(config, weights, device)`: build the network, load the weights strictly and return an `Encoder`, for `speech` a
  `Recogniser`: an instance of that class; further weights that a feature file names come as keyword arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import Field

Weights = int | dict[str, Any] | Path | None
"""A seed (random weights for tests and the demo), a published state dict, or a folder that a library reads whole; None
for encoders without weights."""
Precision = Annotated[
    Literal["fp32", "bf16", "fp16"],
    Field(description="arithmetic; `bf16` and `fp16` keep the cosine of every row to that of `fp32` at 0.999 or above"),
]
RandomGain = Annotated[float, Field(gt=0, description="gain of random weights; no meaning with published ones")]


class Encoder(Protocol):
    """A frozen network with its own preprocessing: a batch in, rows out.

    Attributes
    ----------
    dim : width D of a row
    min_frames : fewest frames K of a window; 1 where the encoder does not say
    """

    dim: int

    def encode(self, batch: Any) -> Sequence[np.ndarray]:
        """Encode one batch.

        Parameters
        ----------
        batch : visual: uint8 (n, H, W, 3) RGB frames, (n, H, W, 2) flow images, or (n, K, H, W, ...) where a row sees
            K of them; audio: float32 (n, samples) waveforms in [-1, 1], or (n, channels, samples) if the module
            `TAKES_CHANNELS`; text: list of n strings; spoken: list of n float32 (samples,) waveforms

        Returns
        -------
        n arrays of float32: (D,), or (R, D) where an input gives several rows, as text and spoken always do
        """


@dataclass(frozen=True)
class Word:
    """One word of a transcript, in seconds of the video."""

    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True)
class SpeechSegment:
    """One line of a transcript, in seconds of the video; `words` is None unless word times were asked for."""

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] | None = None


@dataclass(frozen=True)
class DroppedSegment:
    """What a recogniser wrote and did not believe, and why: `no_speech`, `repeated` or `empty`."""

    start_s: float
    end_s: float
    text: str
    reason: str


@dataclass(frozen=True)
class Transcript:
    """What is said in one file: segments sorted by start; `language` is None if nothing was recognised."""

    segments: tuple[SpeechSegment, ...]
    language: str | None = None
    language_probability: float | None = None
    """None unless the language was detected."""
    dropped: tuple[DroppedSegment, ...] = ()


class Recogniser(Protocol):
    """A speech recogniser: the sound of several files in, their transcripts out."""

    def transcribe(self, waves: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe float32 (samples,) waveforms in [-1, 1] at 16 kHz; a file without speech has no segments."""
