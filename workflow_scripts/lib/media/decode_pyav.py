"""The decoder inside this process (PyAV): every picture is decoded, only the wanted ones are turned into RGB."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import numpy as np

from workflow_scripts.lib.media.frame_request import FrameRequest
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
    return (frame for _, frame in pyav_frames_together([request]))


def pyav_frames_together(requests: Sequence[FrameRequest]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield what several requests for one stream want, in one pass over it; each gets what `pyav_frames` gives it.

    Parameters
    ----------
    requests : sequence of FrameRequest
        At least one, all for the same stream.

    Yields
    ------
    number of the request, uint8 (H, W, 3)
        In the order in which the frames are decoded.
    """
    first = requests[0]
    with open_video(first.path) as container:
        stream = container.streams[first.stream_index]
        stream.codec_context.thread_count = 1
        left = [_Wanted(number, request, stream.time_base) for number, request in enumerate(requests)]
        for n_before, frame in enumerate(_decoded(container, stream)):
            tick = n_before
            if first.clock.is_timed:
                tick = frame.dts if frame.pts is None else frame.pts
            for wanted in left:
                # Most frames are nobody's: told without a call.
                if tick > wanted.after and wanted.takes(tick):
                    yield wanted.number, wanted.picture(frame)
            if any(wanted.is_done for wanted in left):
                left = [wanted for wanted in left if not wanted.is_done]
                # Ended with the last one, so that no more are decoded.
                if not left:
                    return


class _Wanted:
    """The frames that a request wants, told from the others as they come.

    Attributes
    ----------
    number : of the request
    after : the next one that is wanted is later than this
    """

    def __init__(self, number: int, request: FrameRequest, time_base: Fraction) -> None:
        self.number, self._filters = number, request.filters
        after, until = request.clock.in_ticks(time_base)
        self._borders = zip(after[1:], until[1:], strict=True)
        self.after, self._until = after[0], until[0]
        self.is_done = False
        self._picture: _Picture | None = None

    def takes(self, tick: int) -> bool:
        """Return whether the frame of this time, or number, is wanted."""
        while tick > self._until and not self.is_done:
            self._go_on()
        if self.is_done or tick <= self.after:
            return False
        self._go_on()
        return True

    def _go_on(self) -> None:
        borders = next(self._borders, None)
        if borders is None:
            self.is_done = True
        else:
            self.after, self._until = borders

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """Return a frame as it was asked for."""
        if self._picture is None or not self._picture.takes(frame):
            self._picture = _Picture(frame, self._filters)
        return self._picture.rgb(frame)


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
