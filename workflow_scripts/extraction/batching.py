"""Feed a network with full batches across the borders of videos while the next video is being decoded."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workflow_scripts.errors import UserError


@dataclass(frozen=True)
class VideoEnd:
    """No more units of this video; `reason` says why it is not complete."""

    reason: str | None = None


@dataclass
class Stalls:
    """Seconds spent waiting, so that a person can see which side starves."""

    decode_wait_s: float = 0.0
    encode_s: float = 0.0


Unit = np.ndarray | VideoEnd
_DONE = object()


def prefetch(
    ids: Sequence[str], units_of: Callable[[str], Iterable[np.ndarray]], depth: int
) -> Iterator[tuple[str, Unit]]:
    """Yield the units (frames or windows) of all videos in order; they are produced in a thread, `depth` ahead.

    Every video ends with a `VideoEnd`. A `UserError` of one video becomes its reason and the others go on; any other
    exception is raised here.
    """
    ready: queue.Queue = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(entry: object) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(entry, timeout=0.1)
                break

    def produce() -> None:
        try:
            for video_id in ids:
                reason = None
                try:
                    for unit in units_of(video_id):
                        put((video_id, unit))
                        if stop.is_set():
                            return
                except UserError as error:
                    reason = str(error)
                put((video_id, VideoEnd(reason)))
            put(_DONE)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=produce, name="decode", daemon=True)
    thread.start()
    try:
        while (entry := ready.get()) is not _DONE:
            if isinstance(entry, BaseException):
                raise entry
            yield entry
    finally:
        stop.set()
        thread.join()


def encode_videos(
    units: Iterable[tuple[str, Unit]],
    encode: Callable[[np.ndarray], Sequence[np.ndarray]],
    batch_size: int,
    stalls: Stalls,
) -> Iterator[tuple[str, list[np.ndarray], str | None]]:
    """Encode units in full batches and give every video's rows back as soon as its last one is there.

    Parameters
    ----------
    units : pairs of video id and unit, video by video, as `prefetch` yields them
    encode : (n, ...) -> n rows (D,)
    batch_size : units per call of `encode`; fewer where the next unit has another shape

    Yields
    ------
    video id, its rows in order, and the reason if the video failed (its rows are then incomplete)
    """
    waiting: list[tuple[str, np.ndarray]] = []
    rows: dict[str, list[np.ndarray]] = {}
    ended: dict[str, VideoEnd] = {}
    missing: dict[str, int] = {}

    def flush() -> None:
        started = time.perf_counter()
        for (video_id, _), row in zip(waiting, encode(np.stack([unit for _, unit in waiting])), strict=True):
            rows[video_id].append(row)
            missing[video_id] -= 1
        waiting.clear()
        stalls.encode_s += time.perf_counter() - started

    def complete() -> Iterator[tuple[str, list[np.ndarray], str | None]]:
        for video_id in [v for v in ended if not missing[v]]:
            del missing[video_id]
            yield video_id, rows.pop(video_id), ended.pop(video_id).reason

    source = iter(units)
    while True:
        started = time.perf_counter()
        entry = next(source, None)
        stalls.decode_wait_s += time.perf_counter() - started
        if entry is None:
            break
        video_id, unit = entry
        rows.setdefault(video_id, [])
        missing.setdefault(video_id, 0)
        if isinstance(unit, VideoEnd):
            ended[video_id] = unit
        else:
            if waiting and unit.shape != waiting[0][1].shape:
                flush()
            waiting.append((video_id, unit))
            missing[video_id] += 1
            if len(waiting) == batch_size:
                flush()
        yield from complete()
    if waiting:
        flush()
    yield from complete()
