"""Encode the lines of the transcripts of one shard of videos, and lay them on seconds or clips."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from models.layers.time_alignment import warp_to_clips, warp_to_seconds
from workflow_scripts.lib.datasets.transcript_files import OK, video_states
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.job import computed_rows, parse_job, run_job
from workflow_scripts.lib.extraction.networks import load_encoder
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.shard_job import Computed, Wanted
from workflow_scripts.lib.store.tables import read_table

Line = Mapping[str, Any]


def aligned(
    rows: np.ndarray, lines: Sequence[Line], duration_s: float, recipe: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (T, D) and their start and end seconds (T, 2) from one embedding (n, D) per line."""
    spans = [(line["start_s"], line["end_s"]) for line in lines]
    if recipe["align"] == "segments":
        return rows, np.array(spans, np.float64).reshape(-1, 2)
    if recipe["align"] == "seconds":
        step_s, laid = 1.0, warp_to_seconds(rows, spans, round(duration_s))
    else:
        step_s = recipe["clip_s"]
        laid = warp_to_clips(rows, spans, step_s, math.ceil(duration_s / step_s))
    starts = np.arange(len(laid)) * step_s
    return laid, np.stack([starts, starts + step_s], axis=1)


def sentence_rows(encode: Any, texts: Sequence[str], batch_size: int) -> np.ndarray:
    """Return one row (n, D) per line of text.

    Raises
    ------
    UserError
        the encoder gives rows of tokens
    """
    batches = (texts[start : start + batch_size] for start in range(0, len(texts), batch_size))
    rows = [row for batch in batches for row in encode(list(batch))]
    if any(len(row) != 1 for row in rows):
        raise UserError("a transcript feature needs one row per line; choose an `output` of the encoder for sentences")
    return np.concatenate(rows)


def main() -> None:
    args, settings = parse_job(__doc__)
    recipe, batch_size = settings["recipe"], settings["runtime"]["batch_size"]
    states = {state["video_id"]: state for state in video_states(args.rows_of)}
    lines: dict[str, list[Line]] = {video_id: [] for video_id in states}
    for line in read_table(args.rows_of, ["video_id", "start_s", "end_s", "text"]).to_pylist():
        lines[line.pop("video_id")].append(line)
    videos = read_table(args.durations, ["video_id", "duration_s"]).to_pylist()
    durations = {row["video_id"]: row["duration_s"] for row in videos if row["video_id"] in states}

    def compute(missing: Iterable[str]) -> Iterator[Computed]:
        encoder = load_encoder(settings)
        for video_id in missing:
            state = states[video_id]
            if state["status"] != OK:
                reason = state["reason"] if state["status"] == "failed" else None
                yield computed_rows(video_id, [], np.zeros((0, 2)), encoder.dim, reason, state["status"])
                continue
            rows = sentence_rows(encoder.encode, [line["text"] for line in lines[video_id]], batch_size)
            laid, times = aligned(rows, lines[video_id], durations[video_id], recipe)
            yield computed_rows(video_id, laid, times, encoder.dim, None)

    wanted = [
        Wanted(video_id, digest_json([state["status"], lines[video_id], durations[video_id]]))
        for video_id, state in states.items()
        if video_id in durations
    ]
    run_job(settings, args.store, wanted, compute)


if __name__ == "__main__":
    run_entry_point(main)
