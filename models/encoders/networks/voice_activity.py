"""Where somebody speaks: Silero VAD 6 (snakers4/silero-vad, MIT), as faster-whisper ships it."""

from collections.abc import Sequence

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps

SAMPLE_RATE = 16000
LONGEST_PIECE_S = 30.0
"""What Whisper sees at once."""
MIN_SILENCE_MS = 500
PADDING_MS = 200

Span = tuple[int, int]


def speech_spans(wave: np.ndarray) -> list[Span]:
    """Return first and last-plus-one sample of every stretch of speech, none longer than 30 s.

    Parameters
    ----------
    wave : float32 (samples,) at 16 kHz, in [-1, 1]
    """
    if not np.any(wave):
        return []
    options = VadOptions(
        max_speech_duration_s=LONGEST_PIECE_S, min_silence_duration_ms=MIN_SILENCE_MS, speech_pad_ms=PADDING_MS
    )
    return [(span["start"], span["end"]) for span in get_speech_timestamps(wave, options)]


def join_spans(spans: Sequence[Span], longest_gap_s: float) -> list[Span]:
    """Join neighbours whose gap is at most `longest_gap_s`, as long as the whole stays within 30 s."""
    joined: list[Span] = []
    for start, end in spans:
        if joined:
            first, last = joined[-1]
            if start - last <= longest_gap_s * SAMPLE_RATE and end - first <= LONGEST_PIECE_S * SAMPLE_RATE:
                joined[-1] = (first, end)
                continue
        joined.append((start, end))
    return joined
