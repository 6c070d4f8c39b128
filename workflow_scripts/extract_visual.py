"""Encode the sampled frames of one shard of videos."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from models.encoders.interface import Encoder
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.job import encode_missing, parse_job, run_job
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.decode import check_decoder, decode_frames, frame_rows
from workflow_scripts.lib.media.frame_request import FrameClock, Video
from workflow_scripts.lib.media.image_folder import list_images, read_images
from workflow_scripts.lib.media.plan_table import PLAN_SCHEMA
from workflow_scripts.lib.store.shard_job import Computed, Wanted
from workflow_scripts.lib.store.tables import read_table


def require_frames(frames_per_row: list[int] | None, min_frames: int) -> None:
    """Refuse a video with a window that is too short for the network, before it is decoded.

    Raises
    ------
    UserError
        ends up as the reason why this video has no rows
    """
    shortest = min(frames_per_row or [min_frames])
    if shortest < min_frames:
        raise UserError(f"a window has {shortest} frame(s), the network needs {min_frames}; the video is too short")


def main() -> None:
    args, settings = parse_job(__doc__)
    images, folder = settings["recipe"].get("images"), Path(settings["folder"])
    plan = {row["video_id"]: row for row in read_table(args.rows_of, PLAN_SCHEMA.names).to_pylist()}
    columns = ["video_id", *Video.COLUMNS]
    videos = {} if images else {row["video_id"]: row for row in read_table(args.media, columns).to_pylist()}
    resize, decoder = settings["recipe"]["resize"], settings["runtime"]["decoder"]
    ffmpeg, stalls = settings["ffmpeg"], Stalls()

    def deliver(video_id: str) -> Callable[[Sequence[int] | np.ndarray], Generator[np.ndarray, None, None]]:
        if not images:
            video, clock = Video.of_row(videos[video_id], folder), FrameClock.of_row(plan[video_id])
            return lambda positions: decode_frames(video, clock, positions, resize, ffmpeg, decoder)
        frames = list_images(folder / video_id, images["files"], video_id)
        return lambda positions: read_images(frames, positions, resize)

    def frames_of(video_id: str, encoder: Encoder) -> Iterator[np.ndarray]:
        row = plan[video_id]
        if row["status"] != "ok":
            raise UserError(row["reason"])
        require_frames(row["frames_per_row"], getattr(encoder, "min_frames", 1))
        if row["frames_per_row"] is None:
            return deliver(video_id)(row["frame_idx"])
        return frame_rows(deliver(video_id), row["frame_idx"], row["frames_per_row"])

    def times_of(video_id: str) -> np.ndarray:
        return np.stack([plan[video_id]["start_s"], plan[video_id]["end_s"]], axis=1)

    def compute(missing: Iterable[str]) -> Iterator[Computed]:
        if not images:
            check_decoder(decoder, ffmpeg)
        return encode_missing(missing, frames_of, settings, stalls, times_of)

    run_job(settings, args.store, [Wanted(v, row["digest"]) for v, row in plan.items()], compute, stalls)


if __name__ == "__main__":
    run_entry_point(main)
