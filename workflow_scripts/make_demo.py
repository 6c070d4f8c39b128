"""Make the embedded demo dataset: videos, annotation files, and `videos.json` once all of it is there."""

import argparse
from pathlib import Path

from workflow_scripts.lib.datasets.demo.encode import make_videos
from workflow_scripts.lib.datasets.demo.plan import SPLITS, plan_demo
from workflow_scripts.lib.datasets.demo.sources import VIDEOS_PER_SPLIT, write_sources
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.store.atomic import write_json

DEFAULT_COUNTS = {"train": 100, "val": 20, "test": 30}


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Videos that are already there and match the plan are kept; demo videos that no plan names are removed.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives videos/ and annotations/")
    for split in SPLITS:
        count = DEFAULT_COUNTS[split]
        parser.add_argument(f"--{split}", type=int, default=count, metavar="N", help=f"{split} videos ({count})")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the event plans (0)")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="encoding processes (1)")
    return parser.parse_args()


def main() -> None:
    """Plan, encode, annotate; `videos.json` comes last and names every video with its digest."""
    arguments = parse_arguments()
    counts = {split: getattr(arguments, split) for split in SPLITS}
    for split, count in counts.items():
        if not 0 <= count <= VIDEOS_PER_SPLIT:
            raise UserError(f"--{split} {count}: a split of the demo has 0 to {VIDEOS_PER_SPLIT} videos.")
    if arguments.jobs < 1:
        raise UserError(f"--jobs {arguments.jobs}: at least one process is needed.")
    plans = plan_demo(arguments.seed, counts)
    digests = make_videos(plans, arguments.out / "videos", arguments.jobs)
    write_sources(arguments.out / "annotations", plans)
    write_json(
        arguments.out / "videos.json", {video_id: {"plan_digest": digest} for video_id, digest in digests.items()}
    )


if __name__ == "__main__":
    run_entry_point(main)
