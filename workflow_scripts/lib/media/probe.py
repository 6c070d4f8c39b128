"""What a media file holds, found without decoding it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from workflow_scripts.lib.media.containers import open_media
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.plausible import (
    PLAUSIBLE,
    Plausible,
    gap,
    outlasted,
    second_beginning,
    too_large,
    too_long,
)
from workflow_scripts.lib.media.sampling import FrameTimes

# A container may state a little more than its last packet shows; more than this is missing data.
_TRUNCATION_TOLERANCE_S = 1.0
_TRUNCATION_TOLERANCE = 0.02
# A stream that starts between key frames gives its first picture within this many packets.
_PACKETS_UNTIL_FIRST_FRAME = 500
# What looks like presentation times there is made up from the order of packets, late by the decoder's delay.
_CONTAINERS_WITHOUT_TIMES = ("avi", "asf")
# The duration that is stated there is guessed from the last times in the file.
_CONTAINERS_WITHOUT_DURATION = ("mpeg",)
_STILL_IMAGE_CONTAINERS = ("image2", "tty", "gif", "apng")


@dataclass(frozen=True)
class MediaInfo:
    """What a probe found.

    Attributes
    ----------
    status : str
        `ok`; `missing`; `empty` (no bytes, or no frame); `unreadable`; `no_video_stream`; `truncated` (data end before
        the time that the header states).
    reason : str
        Why the status is not `ok`; else empty.
    container, codec : str or None
        Names of the demuxer and of the video codec.
    stream_index : int or None
        Number of the video stream in the container.
    duration_s : float or None
        Of the video stream; of the container, or from the packets, where the stream states none.
    fps_numerator, fps_denominator : int or None
        Average frame rate as an exact fraction.
    n_frames : int or None
        Frames that are shown (edit lists applied).
    width, height : int or None
        Pixels of the first picture, before rotation.
    rotation : int or None
        Degrees, counter-clockwise, by which a player turns the picture: 0, 90, 180 or -90.
    start_s, video_start_s : float or None
        First time stamp of the container (second 0) and of the video stream.
    n_audio_streams : int or None
        Number of sound streams; the following three describe the first.
    audio_codec : str or None
    audio_sample_rate, audio_channels : int or None
    """

    status: str
    reason: str = ""
    container: str | None = None
    codec: str | None = None
    stream_index: int | None = None
    duration_s: float | None = None
    fps_numerator: int | None = None
    fps_denominator: int | None = None
    n_frames: int | None = None
    width: int | None = None
    height: int | None = None
    rotation: int | None = None
    start_s: float | None = None
    video_start_s: float | None = None
    n_audio_streams: int | None = None
    audio_codec: str | None = None
    audio_sample_rate: int | None = None
    audio_channels: int | None = None


def probe(path: Path | str, plausible: Plausible = PLAUSIBLE) -> MediaInfo:
    """Look into a media file; whatever is wrong with it ends in `status` and `reason`, never in an exception.

    Notes
    -----
    mp4 and mov carry an index of all frames, so that only the header and the first picture are read. Other containers
    are demuxed to their end: every byte is read, and nothing but the first picture decoded.
    """
    try:
        n_bytes = Path(path).stat().st_size
        if not Path(path).is_file():
            return MediaInfo("unreadable", "not a file")
        if n_bytes == 0:
            return MediaInfo("empty", "the file has no bytes")
        return _look(path, n_bytes, plausible)
    except FileNotFoundError:
        return MediaInfo("missing", "no such file")
    except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        return MediaInfo("unreadable", _reason(error))


def _look(path: Path | str, n_bytes: int, plausible: Plausible) -> MediaInfo:
    with open_media(path) as container:
        info = _describe(container, _largest_first(container), n_bytes, plausible)
        others = [stream.index for stream in _largest_first(container)[1:]]
    if info.n_frames != 1 and info.status != "empty":
        return info
    # A track of one picture, or of none, is a poster of another one.
    for index in others:
        with open_media(path) as container:
            other = _describe(container, [container.streams[index]], n_bytes, plausible)
        if (other.n_frames or 0) > 1:
            return other
    return info


def open_video(path: Path | str) -> av.container.InputContainer:
    """Open a media file for demuxing or decoding.

    Raises
    ------
    DecodeError
        If it cannot be opened or has no video stream.
    """
    try:
        container = open_media(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DecodeError(f"{path}: cannot be opened ({_reason(error)}).") from error
    if video_stream(container) is None:
        container.close()
        raise DecodeError(f"{path}: no video stream.")
    return container


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the video stream with the largest pictures that is not a cover picture; previews are smaller."""
    return next(iter(_largest_first(container)), None)


def _largest_first(container: av.container.InputContainer) -> list[av.VideoStream]:
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    return sorted(streams, key=_n_pixels, reverse=True)


def _n_pixels(stream: av.VideoStream) -> int:
    context = stream.codec_context
    return context.width * context.height if context else 0


def frame_times(path: Path | str, stream_index: int | None = None) -> FrameTimes:
    """Return the presentation times of all frames of a video, by demuxing only.

    Parameters
    ----------
    stream_index : that of the probe; None: the one of the largest pictures

    Raises
    ------
    DecodeError
        If the file cannot be opened, has no video stream, or has no frame.
    """
    with open_video(path) as container:
        stream = video_stream(container) if stream_index is None else container.streams[stream_index]
        assert stream is not None, "open_video refuses such files"
        picture = _FirstPicture(stream)
        ticks, end, _ = _demux(container, stream, picture=picture)
        if not ticks:
            raise DecodeError(f"{path}: the video stream has no frames.")
        pts = np.unique(np.array(ticks, np.int64))
        start = int(pts[0])
        if container.start_time is not None:
            start = int(Fraction(container.start_time, av.time_base) / stream.time_base + Fraction(1, 2))
        duration_s = _stated_s(container, stream)
        is_timed = container.format.name not in _CONTAINERS_WITHOUT_TIMES and not _is_bare(container)
        if not is_timed:
            delay = int(pts[0]) - start
            pts, end = pts - delay, end - delay
        # Pictures before the first that can be decoded were made from ones that are not in the file.
        n_leading = int(np.searchsorted(pts, picture.tick)) if is_timed and picture.tick is not None else 0
        return FrameTimes(pts, stream.time_base, start, end, duration_s, is_timed, _rate(container, stream), n_leading)


def _is_bare(container: av.container.InputContainer) -> bool:
    """Whether the file is a stream without a container (.m2v, .h264), in which pictures have no times."""
    return bool(container.format.flags & av.format.Flags.no_timestamps.value)


def _rate(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    # ffmpeg's average of a bare stream is a default of its own.
    return stream.guessed_rate if _is_bare(container) else stream.average_rate


def _stated_s(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Return the duration that a stream states, None where it states none or guesses."""
    if stream.duration is None or container.format.name in _CONTAINERS_WITHOUT_DURATION:
        return None
    return float(stream.duration * stream.time_base)


def _demux(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    others: Sequence[av.stream.Stream] = (),
    picture: "_FirstPicture | None" = None,
) -> tuple[list[int], int, float]:
    """Return the times of the stream's frames, the end of the last one, and the last end in seconds of any stream.

    `picture`, if given, is shown the stream's packets.
    """
    ticks: list[int] = []
    last, end = -(2**62), 0
    # By stream; whole numbers, because a fraction for every packet costs more than reading it.
    latest: dict[int, int] = {}
    own, is_bare = stream.index, _is_bare(container)
    rate = _rate(container, stream)
    typical = 0 if not rate else round(1 / (rate * stream.time_base))
    try:
        for packet in container.demux(stream, *others):
            index = packet.stream_index
            if picture is not None and index == own:
                picture.look_at(packet)
            tick = packet.dts if packet.pts is None else packet.pts
            if is_bare:
                tick = len(ticks) * typical
            if tick is None or packet.size == 0:
                continue
            duration = packet.duration or 0
            latest[index] = max(latest.get(index, 0), tick + duration)
            if index != own or packet.is_discard:
                continue
            ticks.append(tick)
            if tick > last:
                last, end = tick, tick + (duration or typical)
    except av.FFmpegError:
        # What was read so far is what the file has; the caller compares it with what the header states.
        pass
    time_bases = {each.index: each.time_base for each in (stream, *others)}
    return ticks, end, max((float(tick * time_bases[index]) for index, tick in latest.items()), default=0.0)


def _describe(
    container: av.container.InputContainer, streams: Sequence[av.VideoStream], n_bytes: int, plausible: Plausible
) -> MediaInfo:
    """Describe the first of the streams with pictures."""
    names = container.format.name
    sound = container.streams.audio
    info = MediaInfo(
        "ok",
        container=names,
        start_s=None if container.start_time is None else container.start_time / av.time_base,
        n_audio_streams=len(sound),
        audio_codec=sound[0].codec_context.name if sound and sound[0].codec_context else None,
        audio_sample_rate=sound[0].sample_rate if sound else None,
        audio_channels=sound[0].channels if sound else None,
    )
    if names.endswith("_pipe") or names in _STILL_IMAGE_CONTAINERS:
        return replace(info, status="unreadable", reason=f"not a video: its content is {names}")
    if len(container.streams) == 0:
        return replace(info, status="unreadable", reason="its header announces no stream")
    if not streams:
        return replace(info, status="no_video_stream", reason="no video stream")
    stream = streams[0]
    if stream.codec_context is None:
        return replace(info, status="unreadable", reason="no decoder for its video codec")
    rate = _rate(container, stream) or stream.guessed_rate
    info = replace(
        info,
        codec=stream.codec_context.name,
        stream_index=stream.index,
        fps_numerator=rate.numerator if rate else None,
        fps_denominator=rate.denominator if rate else None,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        video_start_s=None if stream.start_time is None else float(stream.start_time * stream.time_base),
    )
    info = _refused(info, too_large(info.width, info.height, plausible.pixels))
    if info.status != "ok":
        return info
    picture = _FirstPicture(stream)
    info = _extent(info, container, stream, picture, (n_bytes, plausible.gap_s))
    info = _refused(info, too_long(info.duration_s, plausible.duration_s))
    info = replace(info, **picture.found()) if info.status == "ok" else info
    return _refused(info, too_large(info.width, info.height, plausible.pixels))


def _refused(info: MediaInfo, *faults: str | None) -> MediaInfo:
    """Refuse a video for the first of its faults, if it has any."""
    reason = next(filter(None, faults), None) if info.status == "ok" else None
    return replace(info, status="unreadable", reason=reason) if reason else info


def _extent(
    info: MediaInfo,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    picture: "_FirstPicture",
    bounds: tuple[int, float],
) -> MediaInfo:
    """Add duration, number of frames, and whether the data reach as far as the header states; find a picture."""
    n_bytes, longest_gap_s = bounds
    stated_s = _stated_s(container, stream)
    has_index = (info.container or "").startswith("mov") and stream.frames and stated_s
    index = list(stream.index_entries) if has_index else []
    if stated_s and index and max(entry.pos + entry.size for entry in index) <= n_bytes:
        for packet in container.demux(stream):
            if not picture.look_at(packet):
                break
        shown = [entry.timestamp for entry in index if not entry.is_discard]
        info = replace(info, duration_s=stated_s, n_frames=len(shown))
        by_s = max((_end_s(other) for other in container.streams.audio), default=0.0) - _end_s(stream)
        before_s = _before_s(info, shown, stream.time_base)
        return _refused(info, gap(shown, stream.time_base, longest_gap_s), outlasted(by_s, before_s, longest_gap_s))
    others = [other for other in container.streams if other is not stream]
    ticks, end, latest_s = _demux(container, stream, others, picture)
    if not ticks:
        return replace(info, status="empty", reason="the video stream has no frames")
    first_s = min(ticks) * stream.time_base if info.container in _CONTAINERS_WITHOUT_DURATION else info.start_s or 0.0
    seen_s = float(end * stream.time_base - first_s)
    info = replace(info, n_frames=len(set(ticks)), duration_s=stated_s or seen_s)
    by_s, before_s = latest_s - float(end * stream.time_base), _before_s(info, ticks, stream.time_base)
    info = _refused(
        info,
        gap(ticks, stream.time_base, longest_gap_s),
        None if info.container in _CONTAINERS_WITHOUT_TIMES else second_beginning(ticks, stream.time_base),
        outlasted(by_s, before_s, longest_gap_s),
    )
    if info.status != "ok":
        return info
    if index:
        return replace(info, status="truncated", reason=f"data end at {seen_s:.2f} s of {stated_s:.2f} s")
    # Matroska counts its duration from zero, others from the container's start: take what is kinder to the file. Where
    # a clock has wrapped, times begin below zero.
    container_s = container.duration / av.time_base if container.duration else 0.0
    latest_s -= min(info.start_s or 0.0, 0.0)
    if container_s - latest_s > max(_TRUNCATION_TOLERANCE_S, _TRUNCATION_TOLERANCE * container_s):
        return replace(info, status="truncated", reason=f"data end at {latest_s:.2f} s of {container_s:.2f} s")
    return info


def _end_s(stream: av.stream.Stream) -> float:
    """Return the second at which a stream ends, as its header states."""
    return float(((stream.start_time or 0) + (stream.duration or 0)) * stream.time_base)


def _before_s(info: MediaInfo, ticks: Sequence[int], time_base: Fraction) -> float:
    """Return the seconds from the begin of the first stream to the first picture."""
    return float(min(ticks, default=0) * time_base) - (info.start_s or 0.0)


class _FirstPicture:
    """Decodes packets until one gives a picture: a video that gives none is of no use, and it knows its rotation."""

    def __init__(self, stream: av.VideoStream) -> None:
        stream.codec_context.thread_count = 1
        self._found: dict[str, Any] = {}
        self.tick: int | None = None
        self._problem, self._n_packets = "no picture could be decoded", 0

    def look_at(self, packet: av.Packet) -> bool:
        """Take a packet if there is no picture yet; return whether further ones are wanted."""
        if self._found or self._n_packets > _PACKETS_UNTIL_FIRST_FRAME:
            return False
        self._n_packets += 1
        try:
            for frame in packet.decode():
                self.tick = frame.pts
                self._found = {"rotation": int(frame.rotation), "width": frame.width, "height": frame.height}
                return False
        except av.FFmpegError as error:
            self._problem = f"no picture could be decoded ({_reason(error)})"
        return True

    def found(self) -> dict[str, Any]:
        """Return what is known of the picture, or that there is none."""
        return self._found or {"status": "unreadable", "reason": self._problem}


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
