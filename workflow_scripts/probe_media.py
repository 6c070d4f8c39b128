"""Probe the videos of one shard: what each file holds, and what is wrong with it."""

import argparse
import collections
import logging
from pathlib import Path

import pyarrow as pa

from workflow_scripts.lib.datasets.video_folder import located
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.media.plausible import Plausible
from workflow_scripts.lib.media.survey import Survey, survey_videos
from workflow_scripts.lib.store.digest import content_digest
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings
from workflow_scripts.lib.store.shards import read_shard_list
from workflow_scripts.lib.store.tables import write_table

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("path", pa.string()),
        ("n_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("digest", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("container", pa.string()),
        ("codec", pa.string()),
        ("stream_index", pa.int32()),
        ("duration_s", pa.float64()),
        ("fps_numerator", pa.int64()),
        ("fps_denominator", pa.int64()),
        ("n_frames", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("rotation", pa.int32()),
        ("start_s", pa.float64()),
        ("video_start_s", pa.float64()),
        ("n_audio_streams", pa.int32()),
        ("audio_codec", pa.string()),
        ("audio_sample_rate", pa.int32()),
        ("audio_channels", pa.int32()),
    ]
)
"""Columns of a media table; `path` is relative to the folder of videos, the others are described in `MediaInfo`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--shard-list", required=True, type=Path, help="list of the shard's videos")
    parser.add_argument("--whole-file-digest", action="store_true", help="digest all bytes, not size and both ends")
    parser.add_argument("--jobs", type=int, default=2, help="threads")
    parser.add_argument("--out", required=True, type=Path, help="media table of the shard")
    args = parser.parse_args()
    settings = read_settings(args.settings, args.key)
    folder = Path(settings["videos"])
    videos = located(folder, settings["extensions"], read_shard_list(args.shard_list))
    surveys = survey_videos(folder, videos, args.jobs, Plausible(**settings.get("plausible", {})))

    def row(survey: Survey) -> dict:
        known = {name: value for name, value in vars(survey).items() if name != "info"}
        readable = survey.n_bytes is not None
        digest = content_digest(folder / survey.path, args.whole_file_digest) if readable else None
        return known | {"digest": digest} | vars(survey.info)

    write_table(args.out, pa.Table.from_pylist([row(survey) for survey in surveys], SCHEMA))
    counts = collections.Counter(survey.info.status for survey in surveys)
    log.info("probed %d videos: %s", len(surveys), ", ".join(f"{n} {status}" for status, n in counts.items()))


if __name__ == "__main__":
    run_entry_point(main)
