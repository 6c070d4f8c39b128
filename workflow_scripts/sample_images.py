"""Plan which images of one shard's videos a network sees, where the frames of each video are a folder of images."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.media.image_folder import Frames, image_times, list_images
from workflow_scripts.lib.media.plan_table import PLAN_SCHEMA, plan_row
from workflow_scripts.lib.media.sampling import as_rational
from workflow_scripts.lib.store.digest import digest_bytes, digest_json
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings
from workflow_scripts.lib.store.shards import read_shard_list
from workflow_scripts.lib.store.tables import write_table

log = logging.getLogger(__name__)

NO_IMAGES = "none"
"""Stands for the digest of a video whose images cannot be used."""


def images_digest(frames: Frames) -> str:
    """Return what identifies the images of a video cheaply: names and sizes of all, content of the first and last."""
    files = [path for files in frames for path in files]
    edges = [digest_bytes(path.read_bytes()) for path in (*frames[0], *frames[-1])]
    return digest_json([[(path.name, path.stat().st_size) for path in files], edges])


def plan_folder(video_id: str, images: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    """Return the plan's columns for one video; images that cannot be used become a status."""
    digests = [NO_IMAGES]

    def times() -> Any:
        frames = list_images(Path(images["path"]) / video_id, images["files"], video_id)
        digests.append(images_digest(frames))
        return image_times(len(frames), as_rational(images["rate"]))

    columns = plan_row(times, rule)
    return {"video_id": video_id, "digest": digests[-1]} | columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--shard-list", required=True, type=Path, help="list of the shard's videos")
    parser.add_argument("--out", required=True, type=Path, help="plan to write")
    args = parser.parse_args()
    settings = read_settings(args.settings, args.key)
    images, rule = settings["images"], settings["sampling"]
    rows = [plan_folder(video_id, images, rule) for video_id in read_shard_list(args.shard_list)]
    write_table(args.out, pa.Table.from_pylist(rows, PLAN_SCHEMA), {"sampling": json.dumps(rule, sort_keys=True)})
    for row in rows:
        if row["status"] != "ok":
            log.warning("%s: %s", row["video_id"], row["reason"])
    log.info("planned %d images of %d videos", sum(len(row["frame_idx"]) for row in rows), len(rows))


if __name__ == "__main__":
    run_entry_point(main)
