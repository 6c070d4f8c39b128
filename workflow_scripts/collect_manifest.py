"""Join the media tables of all shards to the dataset's manifest, and decide about bad videos."""

import argparse
import logging
from collections import Counter
from pathlib import Path

import pyarrow as pa

from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.store.tables import read_table, write_table

log = logging.getLogger(__name__)

LISTED_IN_MESSAGE = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+", type=Path, help="media tables of the shards")
    parser.add_argument("--on-bad-video", choices=["fail", "skip"], default="fail", help="stop, or go on without them")
    parser.add_argument("--out", required=True, type=Path, help="the manifest")
    args = parser.parse_args()
    manifest = pa.concat_tables([read_table(path) for path in args.shards]).sort_by("video_id")
    columns = [manifest.column(name).to_pylist() for name in ("video_id", "status", "reason")]
    bad = [row for row in zip(*columns, strict=True) if row[1] != "ok"]
    problems = args.out.with_name("problems.tsv")
    if bad:
        lines = [f"{video_id}\t{status}\t{' '.join(reason.split())}\n" for video_id, status, reason in bad]
        write_text(problems, "".join(["video_id\tstatus\treason\n", *lines]))
        listing = "\n".join(
            f"  {video_id}: {status} ({reason})" for video_id, status, reason in bad[:LISTED_IN_MESSAGE]
        )
        more = f"\n  and {len(bad) - LISTED_IN_MESSAGE} more" if len(bad) > LISTED_IN_MESSAGE else ""
        # A terminal shows the first line only.
        counts = ", ".join(f"{n} {status}" for status, n in Counter(status for _, status, _ in bad).items())
        found = f"{len(bad)} of {len(manifest)} videos cannot be used: {counts}; why: {problems}\n{listing}{more}"
        if args.on_bad_video == "fail":
            raise UserError(
                f"{found}\nRepair or replace these files, take them out of the annotations, or set `on_bad_video: skip`"
                " (config/config.yaml or the dataset's YAML file) to go on without them."
            )
        log.warning("%s", found)
    else:
        problems.unlink(missing_ok=True)
    write_table(args.out, manifest)


if __name__ == "__main__":
    run_entry_point(main)
