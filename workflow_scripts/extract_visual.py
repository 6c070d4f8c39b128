"""Encode the sampled frames of one shard of videos."""

from collections.abc import Iterator

import numpy as np

from workflow_scripts.errors import run_entry_point
from workflow_scripts.extraction.batching import Stalls, encode_videos, prefetch
from workflow_scripts.extraction.job import computed_rows, log, parse_job, run_job
from workflow_scripts.extraction.networks import load_encoder
from workflow_scripts.media.decode import decode_frames, decode_rows
from workflow_scripts.media.ffmpeg import ffmpeg_exe
from workflow_scripts.store.shard_job import Computed, Wanted
from workflow_scripts.store.tables import read_table


def main() -> None:
    args, settings = parse_job(__doc__)
    plan = {row["video_id"]: row for row in read_table(args.rows_of).to_pylist() if row["status"] == "ok"}
    paths = {row["video_id"]: args.videos / row["path"] for row in read_table(args.media).to_pylist() if row["path"]}
    batch_size = settings["runtime"]["batch_size"]
    ffmpeg = ffmpeg_exe(settings["ffmpeg"])

    def frames_of(video_id: str) -> Iterator[np.ndarray]:
        row, resize = plan[video_id], settings["recipe"]["resize"]
        if row["frames_per_row"] is None:
            return decode_frames(paths[video_id], row["frame_idx"], resize, ffmpeg)
        return decode_rows(paths[video_id], row["frame_idx"], row["frames_per_row"], resize, ffmpeg)

    def compute(missing: list[str]) -> Iterator[Computed]:
        encoder, stalls = load_encoder(settings), Stalls()
        units = prefetch(missing, frames_of, depth=2 * batch_size)
        for video_id, rows, reason in encode_videos(units, encoder.encode, batch_size, stalls):
            times = np.stack([plan[video_id]["start_s"], plan[video_id]["end_s"]], axis=1)
            yield computed_rows(video_id, rows, times, encoder.dim, reason)
        log.info("waited %.1f s for frames, %.1f s in the network", stalls.decode_wait_s, stalls.encode_s)

    run_job(settings, args.store, [Wanted(v, row["digest"]) for v, row in plan.items()], compute)


if __name__ == "__main__":
    run_entry_point(main)
