"""Feed a network with full batches across the borders of videos while the next videos are being decoded."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.stalls import Stalls


@dataclass(frozen=True)
class VideoEnd:
    """No more units of this video; `reason` says why it is not complete."""

    reason: str | None = None


Unit = np.ndarray | VideoEnd
Given = TypeVar("Given")
"""What a video gives one after the other: units, or units with a note of whom they are for."""
_DONE = object()


class Prefetch(Generic[Given]):
    """The units (frames, windows) of many videos, produced in threads ahead of the one who takes them.

    Yields pairs of video id and unit; every video ends with a `VideoEnd`. With one worker the videos come one after the
    other, with several their units are mixed. Work starts at once; `close`, or the end of a `with` block, ends it.

    Parameters
    ----------
    ids : iterable of str
        The videos; one is taken when its work begins.
    units_of : callable
        Gets an id, returns its units one by one. A `UserError` becomes the reason of that video and the others go on;
        any other exception is raised where the units are taken.
    depth : int
        Units that may be ready and not taken: what bounds the memory.
    workers : int
        Videos that are produced at the same time. Threads are enough: decoders leave Python alone while they work.
    """

    def __init__(
        self, ids: Iterable[str], units_of: Callable[[str], Iterable[Given]], depth: int, workers: int = 1
    ) -> None:
        self._left = iter(ids)
        self._taking = threading.Lock()
        self._units_of = units_of
        self._ready: queue.Queue = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._idle_s = [0.0] * workers
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name="decode", daemon=True) for number in range(workers)
        ]
        self._at_work = workers
        for thread in self._threads:
            thread.start()

    @property
    def idle_s(self) -> float:
        """Seconds that the workers waited because enough was ready."""
        return sum(self._idle_s)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[str, Given | VideoEnd]:
        while self._at_work:
            entry = self._ready.get()
            if isinstance(entry, BaseException):
                self.close()
                raise entry
            if entry is not _DONE:
                return entry
            self._at_work -= 1
        raise StopIteration

    def close(self) -> None:
        """End the threads; what they have produced and nobody took is lost."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._at_work = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self, number: int) -> None:
        try:
            while not self._stop.is_set():
                with self._taking:
                    video_id = next(self._left, None)
                if video_id is None:
                    break
                self._produce(video_id, number)
            self._put(_DONE, number)
        except BaseException as error:
            self._put(error, number)

    def _produce(self, video_id: str, number: int) -> None:
        reason = None
        try:
            for unit in self._units_of(video_id):
                self._put((video_id, unit), number)
                if self._stop.is_set():
                    return
        except UserError as error:
            reason = str(error)
        self._put((video_id, VideoEnd(reason)), number)

    def _put(self, entry: object, number: int) -> None:
        with contextlib.suppress(queue.Full):
            self._ready.put_nowait(entry)
            return
        started = time.perf_counter()
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(entry, timeout=0.1)
                break
        self._idle_s[number] += time.perf_counter() - started


def encode_videos(
    units: Iterable[tuple[str, Unit]],
    encode: Callable[[np.ndarray], Sequence[np.ndarray]],
    batch_size: int,
    stalls: Stalls,
) -> Iterator[tuple[str, list[np.ndarray], str | None]]:
    """Encode units in full batches and give every video's rows back as soon as its last one is there.

    Parameters
    ----------
    units : pairs of video id and unit, as `Prefetch` yields them
    encode, batch_size, stalls : as for `Batches`; `stalls` is told, too, when the network waits for units

    Yields
    ------
    video id, its rows in order, and the reason if the video failed (its rows are then incomplete)
    """
    batches = Batches(encode, batch_size, stalls)
    for video_id, unit in stalls.during("decode", units):
        yield from batches.add(video_id, unit)
    yield from batches.rest()


class Batches:
    """The units of videos on their way through a network, in full batches across the borders of videos.

    Parameters
    ----------
    encode : (n, ...) -> n rows (D,)
    batch_size : units per call of `encode`; fewer where the next unit has another shape
    stalls : told when the network computes
    """

    def __init__(self, encode: Callable[[np.ndarray], Sequence[np.ndarray]], batch_size: int, stalls: Stalls) -> None:
        self._encode, self._batch_size, self._stalls = encode, batch_size, stalls
        self._waiting: list[tuple[str, np.ndarray]] = []
        self._rows: dict[str, list[np.ndarray]] = {}
        self._ended: dict[str, VideoEnd] = {}
        self._n_missing: dict[str, int] = {}

    def add(self, video_id: str, unit: Unit) -> Iterator[tuple[str, list[np.ndarray], str | None]]:
        """Take a unit, or the end of a video; yield the videos that are complete, as `encode_videos` does."""
        self._rows.setdefault(video_id, [])
        self._n_missing.setdefault(video_id, 0)
        if isinstance(unit, VideoEnd):
            self._ended[video_id] = unit
        else:
            if self._waiting and unit.shape != self._waiting[0][1].shape:
                self._flush()
            self._waiting.append((video_id, unit))
            self._n_missing[video_id] += 1
            if len(self._waiting) == self._batch_size:
                self._flush()
        yield from self._complete()

    def rest(self) -> Iterator[tuple[str, list[np.ndarray], str | None]]:
        """Encode what waits for a full batch; yield the videos that are complete."""
        if self._waiting:
            self._flush()
        yield from self._complete()

    def _flush(self) -> None:
        self._stalls.enter("compute")
        encoded = self._encode(np.stack([unit for _, unit in self._waiting]))
        for (video_id, _), row in zip(self._waiting, encoded, strict=True):
            self._rows[video_id].append(row)
            self._n_missing[video_id] -= 1
        self._waiting.clear()

    def _complete(self) -> Iterator[tuple[str, list[np.ndarray], str | None]]:
        for video_id in [each for each in self._ended if not self._n_missing[each]]:
            del self._n_missing[video_id]
            yield video_id, self._rows.pop(video_id), self._ended.pop(video_id).reason
