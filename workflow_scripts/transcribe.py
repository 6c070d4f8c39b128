"""Recognise the speech of one shard of videos."""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models.encoders.interface import Transcript
from workflow_scripts.lib.datasets.transcript_files import NO_SPEECH, OK, write_shard
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.job import limit_threads, log
from workflow_scripts.lib.extraction.networks import load_encoder
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.media.audio import read_audio
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.media.media_error import NoAudioStream
from workflow_scripts.lib.store.record_files import Record, update_records
from workflow_scripts.lib.store.settings_files import add_settings_options
from workflow_scripts.lib.store.shard_job import FAILED, Wanted
from workflow_scripts.lib.store.tables import read_table

SAMPLE_RATE = 16000
GROUP_S = 600
"""Videos are recognised together until they last this long, so that memory has a bound and a kill loses little."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--rows-of", required=True, type=Path, help="media manifest of the shard")
    parser.add_argument("--records", required=True, type=Path, help="folder of the shard's finished videos")
    parser.add_argument("--out", required=True, type=Path, help="table of the shard's transcripts (.parquet)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    limit_threads(args.threads)
    settings = read_feature_settings(args.settings, args.key)
    table = read_table(args.rows_of, ["video_id", "digest", "path", "status"])
    media = {row["video_id"]: row for row in table.to_pylist() if row["status"] == "ok"}
    ffmpeg = ffmpeg_exe(settings["ffmpeg"])

    def compute(missing: list[str]) -> Iterator[tuple[str, Record]]:
        recogniser = None
        group: dict[str, np.ndarray] = {}
        for video_id in missing:
            try:
                group[video_id] = read_audio(Path(settings["folder"]) / media[video_id]["path"], SAMPLE_RATE, ffmpeg)
            except NoAudioStream:
                yield video_id, record("no_audio")
            except UserError as error:
                yield video_id, record(FAILED, str(error))
            is_full = sum(len(wave) for wave in group.values()) > GROUP_S * SAMPLE_RATE
            if group and (is_full or len(group) == settings["runtime"]["batch_size"] or video_id == missing[-1]):
                recogniser = recogniser or load_encoder(settings)
                yield from zip(group, map(recognised, recogniser.transcribe(list(group.values()))), strict=True)
                group.clear()

    wanted, cache = [Wanted(v, row["digest"]) for v, row in media.items()], settings["feature_cache"]
    found = update_records(args.records, wanted, settings["recipe"], compute, Path(cache) if cache else None)
    write_shard(args.out, settings["dataset"], settings["recipe"]["weights"], found, settings["recipe"])
    log.info("%d of %d videos have speech", sum(r["status"] == OK for r in found.values()), len(found))


def record(status: str, reason: str = "", transcript: Transcript | None = None) -> dict[str, Any]:
    """Return what is kept of one video."""
    return {"status": status, "reason": reason, **asdict(transcript or Transcript(()))}


def recognised(transcript: Transcript) -> dict[str, Any]:
    """Return the record of a video that was listened to."""
    dropped = Counter(segment.reason for segment in transcript.dropped)
    reason = f"dropped: {', '.join(f'{n} {why}' for why, n in dropped.items())}" if dropped else ""
    return record(OK if transcript.segments else NO_SPEECH, reason, transcript)


if __name__ == "__main__":
    run_entry_point(main)
