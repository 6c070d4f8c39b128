"""The decoder inside this process (PyAV): every picture is decoded, only the wanted ones are turned into RGB."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np

from workflow_scripts.lib.media.frame_request import FrameClock, FrameRequest
from workflow_scripts.lib.media.probe import open_video


def pyav_frames(request: FrameRequest) -> Iterator[np.ndarray]:
    """Yield the wanted frames in order, as many as the decoder gives.

    Parameters
    ----------
    request : FrameRequest

    Yields
    ------
    uint8 (H, W, 3)
        RGB, a new array each time.

    Raises
    ------
    DecodeError
        If the file cannot be opened.

    Notes
    -----
    The filters are those that the ffmpeg program is given, run by the same library, so that both deliver the same
    bytes. Packets that cannot be decoded are passed over, as the program does.
    """
    picture: _Picture | None = None
    with open_video(request.path) as container:
        stream = container.streams[request.stream_index]
        stream.codec_context.thread_count = 1
        for frame in _wanted(_decoded(container, stream), request.clock, stream.time_base):
            if picture is None or not picture.takes(frame):
                picture = _Picture(frame, request.filters)
            yield picture.rgb(frame)


def _wanted(frames: Iterable[av.VideoFrame], clock: FrameClock, time_base: Fraction) -> Iterator[av.VideoFrame]:
    """Let the wanted ones of all frames of a stream through; end with the last, so that no more are decoded."""
    after, until = clock.in_ticks(time_base)
    k, n_wanted = 0, len(until)
    for number, frame in enumerate(frames):
        tick = number
        if clock.is_timed:
            tick = frame.dts if frame.pts is None else frame.pts
        while k < n_wanted and tick > until[k]:
            k += 1
        if k < n_wanted and tick > after[k]:
            yield frame
            k += 1
        if k == n_wanted:
            return


def _decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Yield whatever can be decoded of a stream."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            # The file ends here; what the decoder still holds belongs to it.
            yield from stream.decode(None)
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


class _Picture:
    """Filters for pictures of one size, format and rotation."""

    def __init__(self, frame: av.VideoFrame, filters: str) -> None:
        self._kind = _kind(frame)
        width, height, pixel_format, colorspace, color_range, _ = self._kind
        matrix = frame.side_data.get("DISPLAYMATRIX")
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        nodes = [
            self._graph.add(
                "buffer",
                f"video_size={width}x{height}:pix_fmt={pixel_format}:time_base={frame.time_base}:pixel_aspect=1/1"
                f":colorspace={colorspace}:range={color_range}",
            )
        ]
        for step in [*_turn(None if matrix is None else bytes(matrix)), *filters.split(","), "format=rgb24"]:
            name, _, options = step.partition("=")
            nodes.append(self._graph.add(name, options))
        nodes.append(self._graph.add("buffersink"))
        self._graph.link_nodes(*nodes).configure()

    def takes(self, frame: av.VideoFrame) -> bool:
        return _kind(frame) == self._kind

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        self._graph.vpush(frame)
        return self._graph.vpull().to_ndarray()


def _kind(frame: av.VideoFrame) -> tuple[int, int, str, int, int, int]:
    # Not its side data: asking for them ties the frame into a circle that only the garbage collector can undo.
    colours = int(frame.colorspace), int(frame.color_range)
    return frame.width, frame.height, frame.format.name, *colours, frame.rotation


def _turn(matrix: bytes | None) -> list[str]:
    """Return the filters that bring a picture into the position in which it is to be shown.

    Parameters
    ----------
    matrix : bytes or None
        The display matrix: nine numbers of 32 bits, of which the first two of the first two rows turn and flip.
    """
    if matrix is None:
        return []
    (a, b, _), (c, d, _) = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        if (b > 0) == (c > 0):
            return ["transpose=" + ("cclock_flip" if b > 0 else "clock_flip")]
        return ["transpose=" + ("clock" if b > 0 else "cclock")]
    return ["hflip"] * (a < 0) + ["vflip"] * (d < 0)
