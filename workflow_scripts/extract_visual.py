"""Encode the sampled frames of the videos of a shard, or of several."""

from functools import partial

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.frames_seen import Pictures
from workflow_scripts.lib.extraction.job import parse_job, run_jobs, tables_of_shards
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.frame_request import Video
from workflow_scripts.lib.media.plan_table import PLAN_SCHEMA
from workflow_scripts.lib.store.shard_job import Wanted


def main() -> None:
    args, settings = parse_job(__doc__)
    plans = tables_of_shards(args.rows_of, PLAN_SCHEMA.names)
    has_images = bool(settings["recipe"].get("images"))
    tables = [] if has_images else tables_of_shards(args.media, ["video_id", *Video.COLUMNS])
    plan, media = ({row["video_id"]: row for rows in shards for row in rows} for shards in (plans, tables))
    stalls, pictures = Stalls(), Pictures(settings, plan, media)
    wanted = [[Wanted(row["video_id"], row["digest"]) for row in rows] for rows in plans]
    run_jobs(settings, args.store, wanted, partial(pictures.encode, stalls=stalls), stalls)


if __name__ == "__main__":
    run_entry_point(main)
