"""Several visual features from one pass over each video: it is timed and decoded once for all networks.

The stores of the features stay apart. While the shard of one is brought up to date, the rows of the others are put
aside (`store.aside`); the turn of those then finds them finished.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.encoders.interface import Encoder
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.batching import Batches, Prefetch, VideoEnd
from workflow_scripts.lib.extraction.frames_seen import Pictures
from workflow_scripts.lib.extraction.job import cache_folder, computed_rows, update_if_needed
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.decode import Rows, Taker, decode_together
from workflow_scripts.lib.media.plan_table import plan_row
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.sampling import FrameTimes
from workflow_scripts.lib.store.aside import Aside
from workflow_scripts.lib.store.shard_job import Computed, Wanted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One of the features that a pass makes.

    Attributes
    ----------
    settings : content of the feature's settings file
    root : folder of the feature, in which its shard stores are
    pictures : of the videos of all shards
    wanted : shard -> its videos
    """

    settings: dict[str, Any]
    root: Path
    pictures: Pictures
    wanted: Mapping[str, Sequence[Wanted]]

    @property
    def name(self) -> str:
        """Return the name of the feature."""
        return self.settings["feature"]

    def store(self, shard: str) -> Path:
        """Return the store of a shard."""
        return self.root / f"{shard}.zarr"

    def aside(self, shard: str) -> Aside:
        """Return where rows of a shard are put that are made along with those of another feature."""
        recipe, dtype = self.settings["recipe"], self.settings["recipe"]["store_dtype"]
        store = self.store(shard)
        return Aside(store, self.wanted[shard], recipe, dtype, cache_folder(self.settings, store))


class Plans(Mapping[str, Mapping[str, Any]]):
    """The rows of a sampling plan, by video; each is made when it is asked for first.

    Parameters
    ----------
    rule : sampling rule
    videos : ids
    times_of : id -> times of the frames
    """

    def __init__(self, rule: dict[str, Any], videos: Collection[str], times_of: Callable[[str], FrameTimes]) -> None:
        self._rule, self._videos, self._times_of = rule, videos, times_of
        self._rows: dict[str, dict[str, Any]] = {}

    def __getitem__(self, video_id: str) -> Mapping[str, Any]:
        if video_id not in self._rows:
            self._rows[video_id] = row = plan_row(partial(self._times_of, video_id), self._rule)
            if row["reason"]:
                log.warning("%s: %s", video_id, row["reason"])
        return self._rows[video_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    def __len__(self) -> int:
        return len(self._videos)


def members_of(
    settings: Mapping[Path, dict[str, Any]], media: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[Member]:
    """Return the members of a pass, which time the packets of a video once.

    Parameters
    ----------
    settings : folder of a feature -> content of its settings file
    media : shard -> the rows of its media table whose videos can be used
    """
    rows = {row["video_id"]: row for of_shard in media.values() for row in of_shard}
    wanted = {shard: [Wanted(row["video_id"], row["digest"]) for row in rows] for shard, rows in media.items()}
    # For as many as are decoded at the same time; the plans that are made of them are kept.
    workers = sum(content["runtime"]["decode_workers"] for content in settings.values())

    @functools.lru_cache(maxsize=workers)
    def times_of(folder: str, video_id: str) -> FrameTimes:
        return frame_times(Path(folder) / rows[video_id]["path"], rows[video_id]["stream_index"])

    return [
        Member(
            content,
            root,
            Pictures(content, Plans(content["recipe"]["sampling"], rows, partial(times_of, content["folder"])), rows),
            wanted,
        )
        for root, content in settings.items()
    ]


def make_together(members: Sequence[Member], shards: Sequence[str], stalls: Stalls) -> None:
    """Bring the shards of all features up to date.

    Raises
    ------
    UserError
        a feature cannot be made; the others are, as far as they can
    """
    failures = []
    for n_done, shard in enumerate(shards, 1):
        for number, member in enumerate(members):
            log.info("%s: shard %s", member.name, shard)
            compute = partial(_encode, member, members[number + 1 :], shard, stalls=stalls)
            try:
                update_if_needed(member.settings, member.store(shard), member.wanted[shard], compute, stalls)
            except UserError as error:
                failures.append(f"{member.name}: {error}")
                log.error("%s", failures[-1])
        log.info("%d of %d shards", n_done, len(shards))
    if failures:
        raise UserError("; ".join(dict.fromkeys(failures)))


class _Network:
    """A network at work on the videos of a pass."""

    def __init__(self, member: Member, stalls: Stalls) -> None:
        self.name, self.pictures = member.name, member.pictures
        self.encoder: Encoder = member.pictures.load()
        self.batch_size = member.settings["runtime"]["batch_size"]
        self.decode_workers = member.settings["runtime"]["decode_workers"]
        self._batches = Batches(self.encoder.encode, self.batch_size, stalls)

    def add(self, video_id: str, unit: np.ndarray | VideoEnd) -> Iterator[Computed]:
        """Take a unit or the end of a video; yield the videos that are complete, but for those that broke off."""
        return self._whole(self._batches.add(video_id, unit))

    def rest(self) -> Iterator[Computed]:
        """Encode what is left."""
        return self._whole(self._batches.rest())

    def _whole(self, complete: Iterable[tuple[str, list[np.ndarray], str | None]]) -> Iterator[Computed]:
        for video_id, rows, reason in complete:
            if reason is None:
                yield computed_rows(video_id, rows, self.pictures.times(video_id), self.encoder.dim, None)


def _encode(
    member: Member, others: Sequence[Member], shard: str, missing: Iterable[str], stalls: Stalls
) -> Iterator[Computed]:
    """Yield the rows of videos, and put aside those of other features for the same videos.

    Notes
    -----
    What goes wrong with a video while it is decoded for several is forgotten, and the video decoded again for each
    feature alone: so each gets the rows, or the reason for having none, that it gets in a job of its own.
    """
    own, alone = _Network(member, stalls), missing
    # What the others have is looked up only here, where something is missing: it reads their finished rows.
    with contextlib.ExitStack() as stack:
        asides = _Asides([(other, stack.enter_context(other.aside(shard))) for other in others], stalls)
        if asides.networks:
            alone = yield from _encode_for_all(own, asides, missing, stalls)
    if alone:
        yield from member.pictures.encode(alone, stalls)


def _encode_for_all(
    own: _Network, asides: "_Asides", missing: Iterable[str], stalls: Stalls
) -> Generator[Computed, None, list[str]]:
    """Yield the rows of the videos that nothing goes wrong with, and put those of others aside; return the rest."""
    broken: list[str] = []
    networks = [own, *asides.networks.values()]
    # The smallest batch is that of the largest units.
    depth = 2 * min(network.batch_size for network in networks)
    workers = max(network.decode_workers for network in networks)
    with Prefetch(missing, partial(_units, own, asides), depth, workers) as units:
        for video_id, entry in stalls.during("decode", units):
            if not isinstance(entry, VideoEnd):
                name, unit = entry
                if name == own.name:
                    yield from own.add(video_id, unit)
                else:
                    asides.add(name, video_id, unit)
            elif entry.reason is not None:
                broken.append(video_id)
                yield from own.add(video_id, entry)
                asides.break_off(video_id, entry)
        yield from own.rest()
        asides.rest()
        stalls.decoders_idle_s += units.idle_s
    return broken


def _units(own: _Network, asides: "_Asides", video_id: str) -> Iterator[tuple[str, np.ndarray | VideoEnd]]:
    """Yield the units of a video with the feature that each is for, and the end of each if nothing is missing.

    Raises
    ------
    UserError
        the video has nothing for the first network, or frames are missing
    """
    takers = {own.name: own.pictures.taker(video_id, own.encoder), **asides.takers(video_id)}
    names = list(takers)
    for number, frame in decode_together(own.pictures.video(video_id), [taker for taker, _ in takers.values()]):
        name = names[number]
        for unit in takers[name][1].add(frame):
            yield name, unit
    for name in names:
        yield name, VideoEnd()


class _Asides:
    """The other features of a pass while one has its turn; what cannot be made along is left to their own turns.

    Attributes
    ----------
    networks : feature -> its network; only those at work
    """

    def __init__(self, others: Sequence[tuple[Member, Aside]], stalls: Stalls) -> None:
        self._stalls = stalls
        self._asides = {member.name: aside for member, aside in others}
        self.networks: dict[str, _Network] = {}
        for member, aside in others:
            try:
                if not aside.is_complete:
                    self.networks[member.name] = _Network(member, stalls)
            except (UserError, RuntimeError) as error:
                log.warning("%s: not made along: %s", member.name, error)

    def takers(self, video_id: str) -> dict[str, tuple[Taker, Rows]]:
        """Return what features want of a video; those that have its rows, or have nothing of it, are left out."""
        found = {}
        for name, network in list(self.networks.items()):
            aside = self._asides[name]
            if aside.takes(video_id):
                try:
                    found[name] = network.pictures.taker(video_id, network.encoder)
                except UserError:
                    aside.give_up(video_id)
        return found

    def add(self, name: str, video_id: str, unit: np.ndarray | VideoEnd) -> None:
        """Hand a unit to its network, and keep what is complete."""
        if name in self.networks:
            self._keep(name, self.networks[name].add(video_id, unit))

    def break_off(self, video_id: str, end: VideoEnd) -> None:
        """Forget what came of a video."""
        for name in list(self.networks):
            self.add(name, video_id, end)
            self._asides[name].give_up(video_id)

    def rest(self) -> None:
        """Encode what is left."""
        for name, network in list(self.networks.items()):
            self._keep(name, network.rest())

    def _keep(self, name: str, complete: Iterable[Computed]) -> None:
        try:
            for computed in complete:
                self._stalls.enter("write")
                self._asides[name].add(computed)
        except (UserError, RuntimeError) as error:
            log.warning("%s: not made along any further: %s", name, error)
            del self.networks[name]
