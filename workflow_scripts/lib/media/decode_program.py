"""The decoder in a process of its own: the ffmpeg program, on the processor or on a GPU (NVDEC)."""

import contextlib
import functools
import subprocess
import tempfile
from collections.abc import Iterator

import ffmpeg as ffmpeg_python
import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.containers import OPTIONS
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe, file_url, read_blocks
from workflow_scripts.lib.media.frame_request import FrameClock, FrameRequest

# The kernel takes at most 128 KiB per argument.
_LONGEST_ARGUMENT = 100_000
_NVDEC = {"hwaccel": "cuda"}


def ffmpeg_frames(request: FrameRequest, program: str | None = None) -> Iterator[np.ndarray]:
    """Yield the wanted frames in order, as many as the decoder gives.

    Parameters
    ----------
    request : FrameRequest
    program : str, optional
        As `ffmpeg_exe`.

    Yields
    ------
    uint8 (H, W, 3)
        RGB, a new array each time.

    Raises
    ------
    DecodeError
        If ffmpeg ends with an error.
    """
    return _frames(request, program, {})


def nvdec_frames(request: FrameRequest, program: str | None = None) -> Iterator[np.ndarray]:
    """Yield the same frames as `ffmpeg_frames`; the GPU's decoder makes the pictures, the processor resizes them.

    Notes
    -----
    What the GPU cannot decode (H.264 with 4:2:2 colours, say) is decoded on the processor by the same command. The
    resizing stays ffmpeg's own, because the numbers of `scale_cuda` differ.
    """
    return _frames(request, program, _NVDEC)


def _frames(request: FrameRequest, program: str | None, acceleration: dict[str, str]) -> Iterator[np.ndarray]:
    frame_bytes = int(np.prod(request.shape))
    with contextlib.ExitStack() as stack:
        chain = filter_chain(request)
        option = {"filter:v": chain}
        if len(chain) > _LONGEST_ARGUMENT:
            script = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".ffmpeg"))
            script.write(chain)
            script.flush()
            option = {"/filter:v": script.name}
        for block in read_blocks(_command(request, option, acceleration), frame_bytes, program):
            if len(block) == frame_bytes:
                yield np.frombuffer(block, np.uint8).reshape(request.shape)


def _command(request: FrameRequest, option: dict[str, str], acceleration: dict[str, str]) -> ffmpeg_python.Stream:
    # copyts: times stay those of the packets, whatever the container's start.
    source = ffmpeg_python.input(file_url(request.path), threads=1, copyts=None, **OPTIONS, **acceleration)
    return ffmpeg_python.output(
        source[str(request.stream_index)],
        "pipe:1",
        format="rawvideo",
        pix_fmt="rgb24",
        fps_mode="passthrough",
        frames=len(request.chosen),
        filter_threads=1,
        **option,
    )


def filter_chain(request: FrameRequest) -> str:
    """Return ffmpeg filters that let the wanted frames through and resize them."""
    return f"select='{select_expression(request.clock, request.chosen)}',{request.filters}"


def select_expression(clock: FrameClock, chosen: np.ndarray) -> str:
    """Return an expression of ffmpeg's `select` filter that is true for the chosen frames only.

    Parameters
    ----------
    clock : FrameClock
        Of the chosen frames.
    chosen : int64 (K,)
        Distinct positions of frames, increasing.

    Returns
    -------
    str
        A balanced tree over the runs of neighbouring frames: a few comparisons per frame even for thousands of runs.
        A second frame with the value of the last selected one is refused.
    """
    firsts = np.concatenate([[0], np.flatnonzero(np.diff(chosen) > 1) + 1])
    lasts = np.concatenate([firsts[1:] - 1, [len(chosen) - 1]])
    runs = [(clock.after[a], clock.until[b]) for a, b in zip(firsts, lasts, strict=True)]
    # The filter's variables: seconds, or number.
    value = "t" if clock.is_timed else "n"

    def tree(low: int, high: int) -> str:
        if high - low == 1:
            return f"between({value},{runs[low][0]:.7f},{runs[low][1]:.7f})"
        middle = (low + high) // 2
        border = (runs[middle - 1][1] + runs[middle][0]) / 2
        return f"if(lt({value},{border:.7f}),{tree(low, middle)},{tree(middle, high)})"

    return f"({tree(0, len(runs))})*(isnan(prev_selected_{value})+gt({value},prev_selected_{value}))"


@functools.cache
def require_nvdec(program: str | None = None) -> None:
    """Check that the ffmpeg program can use a GPU.

    Raises
    ------
    UserError
        There is no GPU, no driver, or the program was built without them.
    """
    command = [ffmpeg_exe(program), "-hide_banner", "-nostdin", "-loglevel", "error"]
    command += ["-init_hw_device", "cuda", "-f", "lavfi", "-i", "color=size=64x64:duration=0.04", "-f", "null", "-"]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        said = next(iter(answer.stderr.strip().splitlines()), f"status {answer.returncode}")
        raise UserError(
            f"decoder nvdec: ffmpeg finds no usable NVIDIA GPU here ({said}). Set `runtime: {{decoder: auto}}` in the "
            "feature's YAML file, which gives the same frames."
        )
