"""Make the embedded demo dataset: videos, annotation files, and `videos.json` once all of it is there."""

import argparse
from pathlib import Path

from workflow_scripts.lib.datasets.demo.encode import make_videos
from workflow_scripts.lib.datasets.demo.event_plan import SPLITS, plan_demo
from workflow_scripts.lib.datasets.demo.sources import VIDEOS_PER_SPLIT, write_sources
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings


def main() -> None:
    """Plan, encode, annotate; `videos.json` comes last and names every video with its digest."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Videos that are already there and match the plan are kept; demo videos that no plan names are removed.",
    )
    add_settings_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives videos/ and annotations/")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="encoding processes (1)")
    args = parser.parse_args()
    settings = read_settings(args.settings, args.key)
    counts = {split: settings[split] for split in SPLITS}
    for split, count in counts.items():
        if not 0 <= count <= VIDEOS_PER_SPLIT:
            raise UserError(f"generate.{split}: {count}: a split of the demo has 0 to {VIDEOS_PER_SPLIT} videos")
    if args.jobs < 1:
        raise UserError(f"--jobs {args.jobs}: at least one process is needed")
    plans = plan_demo(settings["seed"], counts)
    digests = make_videos(plans, args.out / "videos", args.jobs)
    write_sources(args.out / "annotations", plans)
    write_json(args.out / "videos.json", {video_id: {"plan_digest": digest} for video_id, digest in digests.items()})


if __name__ == "__main__":
    run_entry_point(main)
