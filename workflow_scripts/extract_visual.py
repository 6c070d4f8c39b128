"""Encode the sampled frames of one shard of videos."""

from functools import partial

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.frames_seen import Pictures
from workflow_scripts.lib.extraction.job import parse_job, run_job
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.frame_request import Video
from workflow_scripts.lib.media.plan_table import PLAN_SCHEMA
from workflow_scripts.lib.store.shard_job import Wanted
from workflow_scripts.lib.store.tables import read_table


def main() -> None:
    args, settings = parse_job(__doc__)
    plan = {row["video_id"]: row for row in read_table(args.rows_of, PLAN_SCHEMA.names).to_pylist()}
    has_images = bool(settings["recipe"].get("images"))
    columns = ["video_id", *Video.COLUMNS]
    media = {} if has_images else {row["video_id"]: row for row in read_table(args.media, columns).to_pylist()}
    stalls, wanted = Stalls(), [Wanted(video_id, row["digest"]) for video_id, row in plan.items()]
    encode = partial(Pictures(settings, plan, media).encode, stalls=stalls)
    run_job(settings, args.store, wanted, encode, stalls)


if __name__ == "__main__":
    run_entry_point(main)
