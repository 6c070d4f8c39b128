"""What a decoder is asked for: which frames of which stream, and what becomes of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_scripts.lib.media.sampling import FrameTimes


@dataclass(frozen=True)
class FrameRequest:
    """One pass over a video stream.

    Attributes
    ----------
    path : Path or str
        The video.
    stream_index : int
        Number of the stream in the container.
    media : FrameTimes
        Presentation times of all its frames.
    chosen : int64 (K,)
        Positions of the wanted frames, increasing, at least one, all of them in `media`.
    filters : str
        ffmpeg filters that bring an upright picture to its size.
    shape : (height, width, 3)
        Of what the filters deliver.
    """

    path: Path | str
    stream_index: int
    media: FrameTimes
    chosen: np.ndarray
    filters: str
    shape: tuple[int, int, int]

    def clock(self) -> np.ndarray:
        """Return the value that tells frame i from its neighbours, strictly increasing (N,).

        Seconds where the container has times, else the number of the frame in the order in which it is decoded.
        """
        if self.media.is_timed:
            return self.media.pts * float(self.media.time_base)
        return np.arange(len(self.media.pts), dtype=float)

    def borders(self) -> np.ndarray:
        """Return float64 (N + 1,): frame i is the one whose clock is between borders i and i + 1.

        Half-way between neighbouring frames, so that rounding cannot matter.
        """
        clock = self.clock()
        return np.concatenate([[clock[0] - 1], (clock[:-1] + clock[1:]) / 2, [clock[-1] + 1]])
