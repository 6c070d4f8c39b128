"""Encode sliding windows over the sound of one shard of videos."""

from collections.abc import Iterator

import numpy as np

from workflow_scripts.errors import run_entry_point
from workflow_scripts.extraction.batching import Stalls, encode_videos, prefetch
from workflow_scripts.extraction.job import computed_rows, log, parse_job, run_job
from workflow_scripts.extraction.networks import load_encoder
from workflow_scripts.media.audio import NoAudioStream, read_audio, windows
from workflow_scripts.media.ffmpeg import ffmpeg_exe
from workflow_scripts.store.shard_job import Computed, Wanted
from workflow_scripts.store.tables import read_table


def main() -> None:
    args, settings = parse_job(__doc__)
    media = {row["video_id"]: row for row in read_table(args.rows_of).to_pylist() if row["status"] == "ok"}
    recipe, batch_size = settings["recipe"], settings["runtime"]["batch_size"]
    window = recipe["window"]
    ffmpeg = ffmpeg_exe(settings["ffmpeg"])
    times: dict[str, np.ndarray] = {}
    silent: set[str] = set()

    def windows_of(video_id: str) -> Iterator[np.ndarray]:
        try:
            wave = read_audio(args.videos / media[video_id]["path"], recipe["sample_rate"], ffmpeg=ffmpeg)
        except NoAudioStream:
            silent.add(video_id)
            times[video_id] = np.zeros((0, 2))
            return
        cuts, times[video_id] = windows(
            wave, recipe["sample_rate"], window["window_s"], window["hop_s"], media[video_id]["duration_s"]
        )
        yield from cuts

    def compute(missing: list[str]) -> Iterator[Computed]:
        encoder, stalls = load_encoder(settings), Stalls()
        units = prefetch(missing, windows_of, depth=2 * batch_size)
        for video_id, rows, reason in encode_videos(units, encoder.encode, batch_size, stalls):
            status = "no_audio" if video_id in silent else "ok"
            yield computed_rows(video_id, rows, times.get(video_id), encoder.dim, reason, status)
        log.info("waited %.1f s for sound, %.1f s in the network", stalls.decode_wait_s, stalls.encode_s)

    run_job(settings, args.store, [Wanted(v, row["digest"]) for v, row in media.items()], compute)


if __name__ == "__main__":
    run_entry_point(main)
