"""List the videos of a dataset with their YouTube ids, from its annotation files."""

import argparse
import re
from pathlib import Path, PurePosixPath

from workflow_scripts.lib.datasets.importing import split_paths
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.fetching.youtube import Clip, write_clips
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings

YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")


def main() -> None:
    """Read, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--out", required=True, type=Path, help="table of ids (TSV)")
    arguments = parser.parse_args()
    source = read_settings(arguments.settings, arguments.key)
    videos = read_annotations(source["format"], split_paths(source), "any").videos
    clips = []
    for row in videos:
        video_id, youtube_id = row["video_id"], row.get("youtube_id") or row["video_id"]
        if not YOUTUBE_ID.fullmatch(youtube_id) or PurePosixPath(video_id).name != video_id:
            raise UserError(
                f"video {video_id!r}: {youtube_id!r} is no YouTube id (11 letters, digits, - and _); "
                "correct the annotations, or set `on_youtube: false`"
            )
        clips.append(Clip(video_id, youtube_id, row.get("clip_start_s"), row.get("clip_end_s")))
    write_clips(arguments.out, clips)


if __name__ == "__main__":
    run_entry_point(main)
