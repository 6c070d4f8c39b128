"""Videos for the benchmarks: moving pictures with detail, as costly to decode as filmed ones, made by ffmpeg."""

import subprocess
from pathlib import Path

from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe

_RATE = 30


def make_video(
    path: Path, width: int, height: int, seconds: float, seed: int = 0, sound: bool = False, still: bool = False
) -> Path:
    """Write an H.264 video at 30 frames per second with a key frame at least every five seconds.

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
    """
    picture = f"{'smptehdbars' if still else 'testsrc2'}=size={width}x{height}:rate={_RATE}:duration={seconds}"
    picture += "" if still else f",noise=alls=6:allf=t:all_seed={seed}"
    command = [ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", picture]
    if sound:
        command += ["-f", "lavfi", "-i", f"sine=frequency={220 + seed}:sample_rate=44100:duration={seconds}"]
        command += ["-c:a", "aac", "-ac", "2", "-b:a", "128k"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p", "-g", str(5 * _RATE)]
    subprocess.run([*command, str(path)], check=True)
    return path
