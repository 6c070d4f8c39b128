"""Encode the spoken queries that belong to a shard of videos, or to several."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.job import computed_rows, parse_job, queries_of_shards, run_jobs
from workflow_scripts.lib.extraction.networks import loaded_once
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.audio import read_audio
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.store.digest import content_digest
from workflow_scripts.lib.store.shard_job import Computed, Wanted

_LONGEST_QUERY_S = 3600.0
MISSING_FILE = "missing"
"""Digest of a sound file that is not there: once it is, its query is encoded."""


def main() -> None:
    args, settings = parse_job(__doc__)
    shards = queries_of_shards(args, ["query_id", "video_id", "modality", "audio_path"], "speech")
    paths = {row["query_id"]: Path(settings["folder"]) / row["audio_path"] for rows in shards for row in rows}
    recipe, ffmpeg, load, stalls = settings["recipe"], ffmpeg_exe(settings["ffmpeg"]), loaded_once(settings), Stalls()

    def compute(missing: Iterable[str]) -> Iterator[Computed]:
        encoder = load()
        stalls.enter("compute")
        for query_id in missing:
            try:
                wave = read_audio(
                    paths[query_id], recipe["sample_rate"], ffmpeg, recipe["resampler"], longest_s=_LONGEST_QUERY_S
                )
                if not len(wave):
                    raise UserError(f"{paths[query_id]}: no sound in it")
            except UserError as error:
                yield computed_rows(query_id, [], np.zeros((0, 2)), encoder.dim, str(error))
                continue
            (rows,) = encoder.encode([wave])
            # A query has no time in the video: its row number stands in, so that the store's form is the same.
            yield computed_rows(query_id, rows, np.array([[0.0, 1.0]]), encoder.dim, None)

    keys = {query: content_digest(path) if path.is_file() else MISSING_FILE for query, path in paths.items()}
    wanted = [[Wanted(row["query_id"], keys[row["query_id"]]) for row in rows] for rows in shards]
    run_jobs(settings, args.store, wanted, compute, stalls)


if __name__ == "__main__":
    run_entry_point(main)
