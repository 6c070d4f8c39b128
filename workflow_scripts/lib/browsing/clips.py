"""Small copies of parts of videos, made when a browser that does not play the video asks for them."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from workflow_scripts.lib.media.proxy_clips import write_clip

LONGEST_S, MOST = 60.0, 30
"""Of a copy, and how many are remembered: 60 MB."""


class Clips:
    """Makes copies, one at a time, and remembers the last ones.

    Parameters
    ----------
    ffmpeg : as of `ffmpeg_exe`
    """

    def __init__(self, ffmpeg: str | None = None) -> None:
        self._ffmpeg, self._lock = ffmpeg, Lock()
        self._remembered = lru_cache(MOST)(self._made)

    def of(self, path: Path, start_s: float, end_s: float) -> bytes:
        """Return a part of a video as WebM.

        Raises
        ------
        ValueError
            it is none, or too long
        DecodeError
            it cannot be decoded
        """
        if not 0 < end_s - start_s <= LONGEST_S:
            raise ValueError(f"start, end: more than 0 and at most {LONGEST_S:.0f} seconds are copied")
        with self._lock:
            return self._remembered(path, start_s, end_s)

    def _made(self, path: Path, start_s: float, end_s: float) -> bytes:
        with TemporaryDirectory(prefix="momentflow-") as folder:
            out = Path(folder) / "clip.webm"
            write_clip(path, out, start_s, end_s, self._ffmpeg)
            return out.read_bytes()
