"""Encode sliding windows over the sound of one shard of videos."""

from functools import partial

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.job import parse_job, run_job
from workflow_scripts.lib.extraction.sounds_heard import Sounds
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.store.shard_job import Wanted
from workflow_scripts.lib.store.tables import read_table


def main() -> None:
    args, settings = parse_job(__doc__)
    rows = read_table(args.rows_of, ["video_id", "digest", "path", "status", "duration_s"]).to_pylist()
    media = {row["video_id"]: row for row in rows if row["status"] == "ok"}
    stalls, wanted = Stalls(), [Wanted(video_id, row["digest"]) for video_id, row in media.items()]
    run_job(settings, args.store, wanted, partial(Sounds(settings, media).encode, stalls=stalls), stalls)


if __name__ == "__main__":
    run_entry_point(main)
