"""Encode the sampled frames of the videos of shards for several features: plan, and decode, every video once."""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.job import limit_threads, tables_of_shards
from workflow_scripts.lib.extraction.one_pass import make_together, members_of
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.frame_request import Video
from workflow_scripts.lib.store.batches import shards_in
from workflow_scripts.lib.store.pass_file import read_passes, write_pass_marker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", required=True, type=Path, help="record of the passes of the dataset (JSON)")
    parser.add_argument("--settings", required=True, nargs="+", type=Path, help="settings file of every feature")
    parser.add_argument("--keys", required=True, nargs="+", help="digest of those settings that decide, of every one")
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
    tables = tables_of_shards(args.media, ["video_id", "digest", "status", *Video.COLUMNS])
    media = {shard: [row for row in rows if row["status"] == "ok"] for shard, rows in zip(shards, tables, strict=True)}
    taking_part = _members(args.record, args.out.parent.name)
    settings = {
        path.parent: read_feature_settings(path, key)
        for path, key in zip(args.settings, args.keys, strict=True)
        if path.parent.name in taking_part
    }
    members = members_of(settings, media)
    stalls = Stalls()
    make_together(members, shards, stalls)
    write_pass_marker(args.out, [member.root for member in members])
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


if __name__ == "__main__":
    run_entry_point(main)
