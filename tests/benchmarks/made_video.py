"""Videos for the benchmarks: moving pictures with detail, as costly to decode as filmed ones, made by ffmpeg."""

import subprocess
from pathlib import Path

from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe

RATE = 30
"""Frames per second, if nothing else is asked for."""


def make_video(
    path: Path,
    width: int,
    height: int,
    seconds: float,
    seed: int = 0,
    sound: bool = False,
    still: bool = False,
    rate: int = RATE,
) -> Path:
    """Write an H.264 video with a key frame at least every five seconds.

    Parameters
    ----------
    path : Path
        Its suffix decides the container.
    width, height : int
        Even numbers.
    seconds : float
    seed : int
        Other seeds, other pictures.
    sound : bool
        Add a tone (AAC, stereo).
    still : bool
        Colour bars that never change, which are cheap to decode.
    rate : int
        Frames per second.
    """
    picture = f"{'smptehdbars' if still else 'testsrc2'}=size={width}x{height}:rate={rate}:duration={seconds}"
    picture += "" if still else f",noise=alls=6:allf=t:all_seed={seed}"
    command = [ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", picture]
    if sound:
        command += ["-f", "lavfi", "-i", f"sine=frequency={220 + seed}:sample_rate=44100:duration={seconds}"]
        command += ["-c:a", "aac", "-ac", "2", "-b:a", "128k"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p", "-g", str(5 * rate)]
    subprocess.run([*command, str(path)], check=True)
    return path
