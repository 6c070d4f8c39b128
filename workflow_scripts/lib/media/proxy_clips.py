"""Small copies of parts of a video in a form that browsers play: WebM with VP8 and Opus, at most 240 pixels high."""

from collections import deque
from pathlib import Path

import ffmpeg as ffmpeg_python

from workflow_scripts.lib.media.containers import OPTIONS
from workflow_scripts.lib.media.ffmpeg import file_url, read_blocks

PLAYED_CODECS = ("h264", "vp8", "vp9", "av1")
PLAYED_EXTENSIONS = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
MAX_HEIGHT = 240
BYTES_PER_S = 32_000
"""What a second takes, sound included."""


def is_played(path: Path, codec: str) -> bool:
    """Return whether browsers usually play a file.

    Parameters
    ----------
    codec : of its pictures, as a probe names it; empty where nobody probed: then the name of the file decides
    """
    return path.suffix.lower() in PLAYED_EXTENSIONS and (not codec or codec in PLAYED_CODECS)


def write_clip(path: Path, out: Path, start_s: float, end_s: float, ffmpeg: str | None = None) -> None:
    """Write a part of a video, with its sound where it has one.

    Parameters
    ----------
    path : the video
    out : file to write, in place of one that is there
    start_s, end_s : seconds from the start of the video
    ffmpeg : as of `ffmpeg_exe`

    Raises
    ------
    DecodeError
        the part cannot be decoded
    """
    source = ffmpeg_python.input(file_url(path), ss=start_s, t=end_s - start_s, threads=1, **OPTIONS)
    pictures = {"c:v": "libvpx", "deadline": "realtime", "cpu-used": 8, "vf": f"scale=-2:min({MAX_HEIGHT}\\,ih)"}
    rates = {"b:v": "150k", "maxrate": "180k", "bufsize": "360k", "b:a": "48k"}
    # A cover is no video (V), and not every video has sound (?).
    streams = (source["V:0"], source["a:0?"])
    sink = ffmpeg_python.output(*streams, file_url(out), format="webm", threads=1, ac=2, **pictures, **rates)
    deque(read_blocks(sink.overwrite_output(), 1, ffmpeg), maxlen=0)
