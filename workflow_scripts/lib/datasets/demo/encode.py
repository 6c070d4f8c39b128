"""Encoding planned videos as H.264 and AAC in mp4, and keeping those that are already right."""

import concurrent.futures
import logging
import multiprocessing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from tqdm import tqdm

from workflow_scripts.lib.datasets.demo.event_plan import VideoPlan, picture_times, plan_digest
from workflow_scripts.lib.datasets.demo.render import (
    HEIGHT,
    SAMPLE_RATE,
    WIDTH,
    render_frames,
    render_waveform,
)
from workflow_scripts.lib.store.atomic import atomic_path

AAC_FRAME_SAMPLES = 1024
AUDIO_BIT_RATE = 24_000
VARIABLE_TIME_BASE = Fraction(1, 1000)
X264_OPTIONS = {"preset": "veryfast", "crf": "23", "g": "24"}

log = logging.getLogger(__name__)


def make_videos(plans: list[VideoPlan], folder: Path, jobs: int) -> dict[str, str]:
    """Encode all videos that are not there yet, and remove demo videos that no plan names.

    Parameters
    ----------
    plans : list of VideoPlan
        The videos.
    folder : Path
        Where `<video id>.mp4` files go.
    jobs : int
        Number of processes.

    Returns
    -------
    dict of str to str
        Digest of every video by its id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {plan.video_id: plan_digest(plan) for plan in plans}
    stale = [path for path in folder.glob("demo_*.mp4") if path.stem not in wanted]
    for path in stale:
        path.unlink()
    missing = [plan for plan in plans if read_digest(folder / f"{plan.video_id}.mp4") != wanted[plan.video_id]]
    kept = len(plans) - len(missing)
    log.info("demo videos: %d kept, %d to make, %d stale removed", kept, len(missing), len(stale))
    if not missing:
        return wanted
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(jobs, len(missing)), mp_context=spawn) as pool:
        runs = [pool.submit(encode_video, plan, folder / f"{plan.video_id}.mp4") for plan in missing]
        done = concurrent.futures.as_completed(runs)
        for run in tqdm(done, total=len(runs), desc="demo videos", unit="video", disable=None):
            run.result()
    log.info("demo videos: %d made", len(missing))
    return wanted


def read_digest(path: Path) -> str | None:
    """Return the digest in a video's comment, or None if there is no such complete file."""
    try:
        with av.open(str(path)) as container:
            return container.metadata.get("comment")
    except av.FFmpegError:
        return None


def encode_video(plan: VideoPlan, path: Path) -> None:
    """Write one video; the file appears complete or not at all.

    Notes
    -----
    One encoder thread and bit-exact flags: the same plan gives the same bytes on the same kind of machine.
    """
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        container.metadata["comment"] = plan_digest(plan)
        video = _add_video_stream(container, plan)
        audio = _add_audio_stream(container) if plan.has_audio else None
        _encode_pictures(container, video, plan)
        if audio is not None:
            _encode_sound(container, audio, render_waveform(plan))


def _add_video_stream(container: av.container.OutputContainer, plan: VideoPlan) -> av.VideoStream:
    is_variable = plan.frame_rate == "variable"
    rate = Fraction(8) if is_variable else Fraction(plan.frame_rate)
    stream = container.add_stream("libx264", rate=rate, options=X264_OPTIONS)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.time_base = stream.codec_context.time_base = VARIABLE_TIME_BASE if is_variable else 1 / rate
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _add_audio_stream(container: av.container.OutputContainer) -> av.AudioStream:
    stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options={"aac_coder": "fast"})
    stream.bit_rate = AUDIO_BIT_RATE
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _encode_pictures(container: av.container.OutputContainer, stream: av.VideoStream, plan: VideoPlan) -> None:
    time_base = stream.codec_context.time_base
    for time, pixels in zip(picture_times(plan), render_frames(plan), strict=True):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.time_base = time_base
        frame.pts = int(time / time_base)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _encode_sound(container: av.container.OutputContainer, stream: av.AudioStream, wave: np.ndarray) -> None:
    for start in range(0, wave.size, AAC_FRAME_SAMPLES):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + AAC_FRAME_SAMPLES], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
