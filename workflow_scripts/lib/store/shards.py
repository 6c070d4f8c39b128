"""Which shard a video belongs to, and the lists that say so."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.item_ids import refuse_unusable

log = logging.getLogger(__name__)

VIDEOS_PER_SHARD = 64
MOST_SHARDS = 500
"""Above about 32,000 videos the shards grow instead: the job graph of a million videos then is that of 32,000."""
# A fixed minimum width keeps `ls` in order and survives a move from 8 to 500 shards.
_NAME_DIGITS = 4


def shard_of(video_id: str, n_shards: int) -> int:
    """Return the shard number of a video, in 0..n_shards-1: a stable hash of its id, independent of other videos."""
    return int.from_bytes(hashlib.sha256(video_id.encode("utf-8")).digest()[:4], "big") % n_shards


def shard_name(shard: int, n_shards: int) -> str:
    """Return the zero-padded name of a shard."""
    if not 0 <= shard < n_shards:
        raise ValueError(f"shard {shard} is not in 0..{n_shards - 1}")
    return f"{shard:0{max(_NAME_DIGITS, len(str(n_shards - 1)))}d}"


def is_in_shard(video_id: str, shard: str, n_shards: int) -> bool:
    """Return whether a video belongs to the shard of this name."""
    return shard_of(video_id, n_shards) == int(shard)


def all_shards(n_shards: int) -> list[str]:
    """Return the names of all shards in order."""
    return [shard_name(shard, n_shards) for shard in range(n_shards)]


def split_into_shards(digests: dict[str, str], n_shards: int) -> dict[str, dict[str, str]]:
    """Return the id-to-digest table of every shard, by shard name; shards without videos are present and empty."""
    parts: list[dict[str, str]] = [{} for _ in range(n_shards)]
    for video_id, digest in digests.items():
        parts[shard_of(video_id, n_shards)][video_id] = digest
    return dict(zip(all_shards(n_shards), parts, strict=True))


def shard_list_text(entries: Mapping[str, str]) -> str:
    """Return the content of a shard list: sorted lines `id<TAB>digest`.

    Raises
    ------
    UserError
        If ids cannot stand on one line of the list.
    """
    refuse_unusable(entries, "ids")
    return "".join(f"{entry_id}\t{digest}\n" for entry_id, digest in sorted(entries.items()))


def read_shard_list(path: Path | str) -> dict[str, str]:
    """Return the ids of a shard list with their digests, in the order of the file.

    Raises
    ------
    UserError
        If the file is missing or a line has not exactly two fields.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such shard list. Run the rule that makes it first.") from None
    entries = {}
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        fields = line.split("\t")
        if len(fields) != 2:
            raise UserError(
                f"{path}:{number}: expected `id<TAB>digest`, found {line!r}. Delete the file and run again."
            )
        entries[fields[0]] = fields[1]
    return entries


def frozen_shard_count(
    path: Path | str, count_videos: Callable[[], int], videos_per_shard: int = VIDEOS_PER_SHARD
) -> int:
    """Return the dataset's number of shards: the recorded one, or a new one that is recorded for good.

    Parameters
    ----------
    path : Path or str
        `results/{dataset}/shards.json`.
    count_videos : callable
        Gives the number of annotated videos; called only when nothing is recorded yet.
    videos_per_shard : int
        Size to aim at.

    Returns
    -------
    int
        round(videos / videos_per_shard) at the time of recording, at least 1 and at most `MOST_SHARDS`. A folder that
        cannot be written is not an error: a dry run there still gets the number.

    Raises
    ------
    UserError
        If the recorded file is damaged.
    """
    record = Path(path)
    if record.is_file():
        return _recorded_count(record)
    n_videos = count_videos()
    n_shards = min(MOST_SHARDS, max(1, round(n_videos / videos_per_shard)))
    try:
        write_json(record, {"n_shards": n_shards, "n_videos_when_frozen": n_videos})
    except OSError as error:
        log.warning("%s: number of shards (%d) not recorded: %s", record, n_shards, error.strerror)
    return n_shards


def _recorded_count(record: Path) -> int:
    try:
        n_shards = json.loads(record.read_text(encoding="utf-8"))["n_shards"]
    except (ValueError, KeyError, TypeError):
        n_shards = None
    if not isinstance(n_shards, int) or n_shards < 1:
        raise UserError(
            f'{record}: expected {{"n_shards": <whole number from 1>}}. Put back the number of shards that '
            "results/<dataset>/shards/ shows, or delete the file to have the dataset sharded anew."
        )
    return n_shards
