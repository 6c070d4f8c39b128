"""Encode sliding windows over the sound of one shard of videos."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from models.encoders.interface import Encoder
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.job import encode_missing, parse_job, run_job
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.audio import NoAudioStream, read_audio, windows
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.store.shard_job import Computed, Wanted
from workflow_scripts.lib.store.tables import read_table


def main() -> None:
    args, settings = parse_job(__doc__)
    rows = read_table(args.rows_of, ["video_id", "digest", "path", "status", "duration_s"]).to_pylist()
    media = {row["video_id"]: row for row in rows if row["status"] == "ok"}
    recipe, ffmpeg, stalls = settings["recipe"], settings["ffmpeg"], Stalls()
    window = recipe["window"]
    times: dict[str, np.ndarray] = {}
    silent: set[str] = set()

    def windows_of(video_id: str, _: Encoder) -> Iterator[np.ndarray]:
        try:
            path = Path(settings["folder"]) / media[video_id]["path"]
            channels = recipe.get("channels", "mono")
            wave = read_audio(path, recipe["sample_rate"], ffmpeg, recipe["resampler"], channels)
        except NoAudioStream:
            silent.add(video_id)
            times[video_id] = np.zeros((0, 2))
            return
        if window is None:
            times[video_id] = np.array([[0.0, wave.shape[-1] / recipe["sample_rate"]]])
            yield wave
            return
        cuts, times[video_id] = windows(wave, recipe["sample_rate"], duration_s=media[video_id]["duration_s"], **window)
        yield from cuts

    def compute(missing: Iterable[str]) -> Iterator[Computed]:
        ffmpeg_exe(ffmpeg)
        return encode_missing(
            missing, windows_of, settings, stalls, times.__getitem__, lambda v: "no_audio" if v in silent else "ok"
        )

    run_job(settings, args.store, [Wanted(v, row["digest"]) for v, row in media.items()], compute, stalls)


if __name__ == "__main__":
    run_entry_point(main)
