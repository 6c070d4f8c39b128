"""Encode sliding windows over the sound of the videos of a shard, or of several."""

from functools import partial

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.job import parse_job, run_jobs, tables_of_shards
from workflow_scripts.lib.extraction.sounds_heard import Sounds
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.store.shard_job import Wanted


def main() -> None:
    args, settings = parse_job(__doc__)
    tables = tables_of_shards(args.rows_of, ["video_id", "digest", "path", "status", "duration_s"])
    usable = [[row for row in table if row["status"] == "ok"] for table in tables]
    wanted = [[Wanted(row["video_id"], row["digest"]) for row in rows] for rows in usable]
    stalls, sounds = Stalls(), Sounds(settings, {row["video_id"]: row for rows in usable for row in rows})
    run_jobs(settings, args.store, wanted, partial(sounds.encode, stalls=stalls), stalls)


if __name__ == "__main__":
    run_entry_point(main)
