"""Sound files whose samples are exactly what was given."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_wave(path: Path, samples: np.ndarray, rate: int) -> Path:
    """Write float32 (C, N), one or two channels, as raw 32-bit floats (.mkv or .wav)."""
    layout = "mono" if len(samples) == 1 else "stereo"
    packed = np.ascontiguousarray(samples.T.reshape(1, -1), np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
