"""Encode the lines of the transcripts of a shard of videos, or of several, and lay them on seconds or clips."""

from collections.abc import Iterable, Iterator
from itertools import starmap
from typing import Any

import numpy as np

from workflow_scripts.lib.datasets.transcript_files import OK, video_states
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.job import computed_rows, parse_job, run_jobs, tables_of_shards
from workflow_scripts.lib.extraction.networks import loaded_once
from workflow_scripts.lib.extraction.transcript_rows import align_lines, embed_lines
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.shard_job import Computed, Wanted
from workflow_scripts.lib.store.tables import read_table


def main() -> None:
    args, settings = parse_job(__doc__)
    recipe, batch_size = settings["recipe"], settings["runtime"]["batch_size"]
    load, shards = loaded_once(settings), [video_states(path) for path in args.rows_of]
    states = {state["video_id"]: state for shard in shards for state in shard}
    lines: dict[str, list[dict[str, Any]]] = {video_id: [] for video_id in states}
    for table in tables_of_shards(args.rows_of, ["video_id", "start_s", "end_s", "text"]):
        for line in table:
            lines[line.pop("video_id")].append(line)
    videos = read_table(args.durations, ["video_id", "duration_s"]).to_pylist()
    durations = {row["video_id"]: row["duration_s"] for row in videos if row["video_id"] in states}

    def compute(missing: Iterable[str]) -> Iterator[Computed]:
        encoder = load()
        for video_id in missing:
            state = states[video_id]
            if state["status"] != OK:
                reason = state["reason"] if state["status"] == "failed" else None
                yield computed_rows(video_id, [], np.zeros((0, 2)), encoder.dim, reason, state["status"])
                continue
            rows = embed_lines(encoder.encode, [line["text"] for line in lines[video_id]], batch_size)
            spans = [(line["start_s"], line["end_s"]) for line in lines[video_id]]
            laid, times = align_lines(rows, spans, durations[video_id], recipe)
            yield computed_rows(video_id, laid, times, encoder.dim, None)

    def wanted(video_id: str, status: str) -> Wanted:
        return Wanted(video_id, digest_json([status, lines[video_id], durations[video_id]]))

    known = [[(s["video_id"], s["status"]) for s in shard if s["video_id"] in durations] for shard in shards]
    run_jobs(settings, args.store, [list(starmap(wanted, shard)) for shard in known], compute)


if __name__ == "__main__":
    run_entry_point(main)
