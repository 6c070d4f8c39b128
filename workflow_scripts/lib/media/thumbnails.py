"""Small pictures of a video at given times, for pages."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import av

from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.probe import open_video, video_stream

WIDTH, QUALITY = 160, 70


def thumbnails(path: Path, times_s: Sequence[float]) -> Iterator[tuple[float, bytes]]:
    """Yield the picture that is seen at each time, in order of time, as JPEG.

    Parameters
    ----------
    times_s : seconds from the start of the video; one after its end gives the last picture

    Raises
    ------
    DecodeError
        If the file cannot be opened or decoded.
    """
    with open_video(path) as container:
        stream = video_stream(container)
        assert stream is not None, "open_video refuses such files"
        first = float((stream.start_time or 0) * stream.time_base)
        try:
            for time_s in sorted(times_s):
                container.seek(int((first + time_s) / stream.time_base), stream=stream)
                shown = None
                for frame in container.decode(stream):
                    if shown is not None and frame.time is not None and frame.time > first + time_s:
                        break
                    shown = frame
                if shown is not None:
                    yield time_s, _jpeg(shown)
        except (av.FFmpegError, ValueError) as error:
            raise DecodeError(f"{path}: no picture ({error}).") from error


def _jpeg(frame: av.VideoFrame) -> bytes:
    picture = frame.to_image()
    # As a player turns it.
    picture = picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
    picture.thumbnail((WIDTH, 4 * WIDTH))
    content = BytesIO()
    picture.save(content, "JPEG", quality=QUALITY)
    return content.getvalue()
