"""Check that a feature holds what was written, and mark what does not for recomputation."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.batches import remove_markers
from workflow_scripts.lib.store.digest import file_sha256
from workflow_scripts.lib.store.gathered import FAILED
from workflow_scripts.lib.store.inventory import shard_attributes
from workflow_scripts.lib.store.pass_file import RECORD, read_passes
from workflow_scripts.lib.store.shard_rows import ShardRows, VideoRows, joined_times, placed
from workflow_scripts.lib.store.shard_store import (
    Publication,
    StoreBeingRewritten,
    StoreDamaged,
    current_publication,
    read_shard_index,
    reading,
    revisions_of,
    videos_of_whole_shard,
)
from workflow_scripts.lib.store.shard_writing import publish_rows
from workflow_scripts.lib.store.tables import read_table
from workflow_scripts.lib.store.zarr_rows import open_rows

log = logging.getLogger(__name__)

INDEX_FILE = "index.parquet"
_INDEX_COLUMNS = ("row_start", "row_end", "key", "status", "reason")
# A shard that is replaced meanwhile is looked at again; a job takes longer than this to replace it a third time.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written.

    Attributes
    ----------
    where : str
        Name of a shard folder, or `index.parquet`.
    id : str or None
        The video (or query); None if all of the shard are concerned.
    found : str
    is_in_index : bool
        Only `index.parquet` has to be made again.
    """

    where: str
    id: str | None
    found: str
    is_in_index: bool = False


@dataclass
class Verified:
    """What was checked in a feature, and what was found."""

    root: Path
    n_shards: int = 0
    n_videos: int = 0
    problems: list[Problem] = field(default_factory=list)


def verify_feature(root: Path, n_sampled: int | None = None, seed: int = 0) -> Verified:
    """Read the rows of a feature with all their checksums and compare its shards with each other and the index.

    Parameters
    ----------
    root : Path
        The feature's folder.
    n_sampled : int or None
        Read only so many videos, drawn at random; None reads everything and compares each shard with its generation.
        Indices, offsets and times are read in either case.
    seed : int
        Of the draw.

    Returns
    -------
    Verified
    """
    index, problems = _read_index(root)
    chosen = None
    if n_sampled is not None:
        ids = sorted(video_id for rows in index.values() for video_id in rows)
        drawn = np.random.default_rng(seed).choice(len(ids), min(n_sampled, len(ids)), replace=False)
        chosen = {ids[i] for i in drawn}
    result = Verified(root, problems=problems)
    recipes: dict[str, str] = {}
    for path in sorted({*root.glob("*.zarr"), *(root / f"{name}.zarr" for name in index)}):
        found, n_read = _check_with_patience(path, index.get(path.stem, {}) if index else None, chosen)
        result.problems += found
        result.n_shards += 1
        result.n_videos += n_read
        if not any(problem.id is None and not problem.is_in_index for problem in found):
            recipes[path.name] = read_shard_index(path)[0]["recipe_digest"]
    if len(set(recipes.values())) > 1:
        newest = max(recipes, key=lambda name: (root / name / "zarr.json").stat().st_mtime_ns)
        others = sorted(name for name, digest in recipes.items() if digest != recipes[newest])
        result.problems += [Problem(name, None, f"made by another recipe than {newest}") for name in others]
    return result


def _read_index(root: Path) -> tuple[dict[str, dict[str, tuple]], list[Problem]]:
    """Return shard -> id -> the other columns of the index."""
    try:
        table = read_table(root / INDEX_FILE, ["id", "shard", *_INDEX_COLUMNS])
    except (UserError, OSError) as error:
        return {}, [Problem(INDEX_FILE, None, str(error), is_in_index=True)]
    index: dict[str, dict[str, tuple]] = {}
    for row in table.to_pylist():
        index.setdefault(row["shard"], {})[row["id"]] = tuple(row[name] for name in _INDEX_COLUMNS)
    return index, []


def _check_with_patience(
    path: Path, indexed: dict[str, tuple] | None, chosen: Collection[str] | None
) -> tuple[list[Problem], int]:
    """Check one shard; problems seen while it was replaced do not count."""
    for _ in range(_ATTEMPTS):
        before = _publication(path)
        problems, n_read = _check_shard(path, indexed, chosen)
        if not problems or _publication(path) == before:
            break
    return problems, n_read


def _publication(path: Path) -> Publication | None:
    try:
        return current_publication(path)
    except StoreBeingRewritten:
        return None


def _check_shard(
    path: Path, indexed: dict[str, tuple] | None, chosen: Collection[str] | None
) -> tuple[list[Problem], int]:
    """Return the problems of one shard and the number of videos that were read; `indexed` None: no index to compare."""
    try:
        videos = _check_headers(path)
    except (StoreDamaged, StoreBeingRewritten) as error:
        return [Problem(path.name, None, _cause(error))], 0
    problems = [] if indexed is None else list(_disagreements(path.name, videos, indexed))
    wanted = {video.id for video in videos if chosen is None or video.id in chosen}
    if chosen is None:
        try:
            # Of rows as wide as tokens a shard does not fit into memory.
            for _ in videos_of_whole_shard(path):
                pass
        except (StoreDamaged, StoreBeingRewritten) as error:
            named = [Problem(path.name, video_id, found) for video_id, found in unreadable(path, wanted).items()]
            problems += named or [Problem(path.name, None, _cause(error))]
    elif wanted:
        problems += [Problem(path.name, video_id, found) for video_id, found in unreadable(path, wanted).items()]
    return problems, len(wanted)


def _check_headers(path: Path) -> list[VideoRows]:
    """Return the videos of a shard whose metadata, index, offsets and times agree and whose features can be opened.

    Raises
    ------
    StoreDamaged, StoreBeingRewritten
        As the names say.
    """
    header, videos = read_shard_index(path)
    if not (path / "zarr.json").is_file():
        raise StoreBeingRewritten(f"{path}: no zarr.json: its job was stopped, or it is marked for recomputation")
    with reading(path):
        if file_sha256(path / "zarr.json") != header["metadata_sha256"]:
            raise ValueError("zarr.json is not the one that index.json was written with")
        offsets = open_rows(path / "offsets").read()
        if not np.array_equal(offsets, [0, *(video.stop for video in videos)]):
            raise ValueError("offsets and index.json differ")
        open_rows(path / "timestamps").read()
        open_rows(path / "features")
    return videos


def _cause(error: UserError) -> str:
    """Return what is wrong without where and the remedy, if the error knows it apart."""
    return str(error.__cause__ or error)


def _disagreements(shard: str, videos: list[VideoRows], indexed: dict[str, tuple]) -> Iterator[Problem]:
    held = {video.id: (video.start, video.stop, video.key, video.status, video.reason) for video in videos}
    for video_id in sorted(held.keys() | indexed.keys()):
        if video_id not in indexed:
            yield Problem(shard, video_id, f"is not in {INDEX_FILE}", is_in_index=True)
        elif video_id not in held:
            yield Problem(shard, video_id, f"is in {INDEX_FILE} but not in the shard")
        elif held[video_id] != indexed[video_id]:
            differing = [
                name for name, a, b in zip(_INDEX_COLUMNS, held[video_id], indexed[video_id], strict=True) if a != b
            ]
            yield Problem(shard, video_id, f"{INDEX_FILE} has another {', '.join(differing)}", is_in_index=True)


def unreadable(path: Path, ids: Collection[str]) -> dict[str, str]:
    """Read videos of a shard one by one; return the id of those that are damaged -> what is wrong.

    Raises
    ------
    StoreDamaged, StoreBeingRewritten
        If the shard's index or features cannot be opened.
    """
    failures = {}
    with reading(path):
        features = open_rows(path / "features")
    for video in (video for video in read_shard_index(path)[1] if video.id in ids):
        try:
            with reading(path):
                if np.isnan(features.read(slice(video.start, video.stop))).any():
                    raise ValueError("not a number")
        except StoreDamaged as error:
            failures[video.id] = _cause(error)
    return failures


def failed_videos(verified: Verified) -> list[Problem]:
    """Return the videos that an extraction gave up, as problems that `repair_feature` takes out.

    They stay `failed` in every later run of the same recipe, so that a broken file does not load a network each time;
    this is for failures whose cause lay elsewhere, such as a full GPU.
    """
    unreadable = {problem.where for problem in verified.problems if problem.id is None and not problem.is_in_index}
    return [
        Problem(path.name, video.id, f"{FAILED}: {video.reason}")
        for path in sorted(verified.root.glob("*.zarr"))
        if path.name not in unreadable
        for video in read_shard_index(path)[1]
        if video.status == FAILED
    ]


def repair_feature(verified: Verified) -> list[str] | None:
    """Take out what failed verification, so that the next run of the workflow recomputes just that.

    Parameters
    ----------
    verified : Verified
        Of all rows; what a sample did not read stays as it is.

    Returns
    -------
    list of str or None
        The arguments of Snakemake that make it again; None if nothing has to be.
    """
    root = verified.root
    bad_shards = sorted({problem.where for problem in verified.problems if not problem.is_in_index})
    for name in bad_shards:
        failed = [problem.id for problem in verified.problems if problem.where == name and not problem.is_in_index]
        _strip_shard(root / name, None if None in failed else {video_id for video_id in failed if video_id})
    if not verified.problems:
        return None
    if any(problem.is_in_index for problem in verified.problems):
        (root / INDEX_FILE).unlink(missing_ok=True)
    # Of shards that are made in batches, or in a pass with other features, the index alone is asked for: its jobs find
    # what is gone, and another job might be at work on the same shard.
    in_batches = remove_markers(root, (Path(name).stem for name in bad_shards))
    in_pass = any(root.resolve().name in each.keys for each in read_passes(root.resolve().parents[1] / RECORD))
    shards = [] if in_batches or in_pass else [f"{name}/zarr.json" for name in bad_shards]
    return snakemake_arguments(root, [*shards, INDEX_FILE])


def _strip_shard(path: Path, failed: set[str] | None) -> None:
    """Leave in a shard what can be reused, without the file that marks it as complete.

    `failed` None: all of the shard are concerned; its next job finds out what can be reused, by the recorded digest.
    """
    if failed is not None:
        recipe: dict[str, Any] = shard_attributes(path)["recipe"]
        header, videos = read_shard_index(path)
        failed |= unreadable(path, {video.id for video in videos} - failed).keys()
        with reading(path):
            features, times = open_rows(path / "features"), open_rows(path / "timestamps").read()
        kept = [(video, slice(video.start, video.stop)) for video in videos if video.id not in failed]
        rows = ShardRows(
            placed([video for video, _ in kept], [own.stop - own.start for _, own in kept]),
            joined_times([times[own] for _, own in kept]),
            features.dtype,
            (sum(own.stop - own.start for _, own in kept), features.shape[1]),
            (features.read(own) for _, own in kept if own.stop > own.start),
        )
        publish_rows(path, rows, recipe, revisions_of(header))
    (path / "zarr.json").unlink(missing_ok=True)


def snakemake_arguments(root: Path, names: Collection[str]) -> list[str]:
    """Return the arguments that make files of a feature again, for a call in the folder of the workflow."""
    feature = root.resolve()
    base = feature.parents[3]
    targets = [str(feature.relative_to(base) / name) for name in names]
    elsewhere = [] if base == Path.cwd().resolve() else ["--directory", str(base)]
    return ["--cores", "all", *elsewhere, "--", *targets]
