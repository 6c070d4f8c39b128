"""Encode the sampled frames of the videos of shards for several features, and decode every video once."""

import argparse
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.frames_seen import Pictures
from workflow_scripts.lib.extraction.job import limit_threads, tables_of_shards
from workflow_scripts.lib.extraction.one_pass import Member, make_together
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.frame_request import Video
from workflow_scripts.lib.media.plan_table import PLAN_SCHEMA
from workflow_scripts.lib.store.batches import shards_in
from workflow_scripts.lib.store.passes import read_passes, write_marker
from workflow_scripts.lib.store.shard_job import Wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", required=True, type=Path, help="record of the passes of the dataset (JSON)")
    parser.add_argument("--settings", required=True, nargs="+", type=Path, help="settings file of every feature")
    parser.add_argument("--keys", required=True, nargs="+", help="digest of those settings that decide, of every one")
    parser.add_argument(
        "--rows-of", required=True, nargs="+", type=Path, help="sampling plans of all shards, feature after feature"
    )
    parser.add_argument("--media", required=True, nargs="+", type=Path, help="media table of every shard")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="file below passes/<features>/ that says that the shards that it is named after are complete",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    limit_threads(args.threads)

    shards = shards_in(args.out.stem)
    tables = tables_of_shards(args.media, ["video_id", *Video.COLUMNS])
    media = {row["video_id"]: row for rows in tables for row in rows}
    members = [
        _member(path, key, dict(zip(shards, args.rows_of[number * len(shards) :], strict=False)), media)
        for number, (path, key) in enumerate(zip(args.settings, args.keys, strict=True))
        if path.parent.name in _members(args.record, args.out.parent.name)
    ]
    stalls = Stalls()
    make_together(members, shards, stalls)
    write_marker(args.out, [member.root for member in members])
    stalls.tell(args.out.stem)


def _members(record: Path, name: str) -> list[str]:
    """Return the features that a pass makes: some may have left it since it was formed.

    Raises
    ------
    UserError
        there is no such pass
    """
    for each in read_passes(record):
        if each.name == name:
            return each.members
    raise UserError(f"{record}: there is no pass {name}; start the workflow again")


def _member(settings_path: Path, key: str, plan_files: dict[str, Path], media: dict[str, dict[str, Any]]) -> Member:
    """Return a feature of the pass; `plan_files` are the sampling plans by shard."""
    settings = read_feature_settings(settings_path, key)
    plans = dict(zip(plan_files, tables_of_shards(list(plan_files.values()), PLAN_SCHEMA.names), strict=True))
    plan = {row["video_id"]: row for rows in plans.values() for row in rows}
    wanted = {shard: [Wanted(row["video_id"], row["digest"]) for row in rows] for shard, rows in plans.items()}
    return Member(settings, settings_path.parent, Pictures(settings, plan, media), wanted)


if __name__ == "__main__":
    run_entry_point(main)
