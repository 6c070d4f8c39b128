"""Transcripts of a dataset: tables of segments by shard, the state of every video, and .srt files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.lib.datasets.schema import SCHEMA_VERSION, TRANSCRIPTS
from workflow_scripts.lib.datasets.srt import srt_text
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import write_if_changed
from workflow_scripts.lib.store.item_ids import file_of
from workflow_scripts.lib.store.tables import read_table, write_table

Row = dict[str, Any]

SOURCE = "whisper"
NO_SPEECH, OK = "no_speech", "ok"
VIDEOS_KEY = b"videos"
INDEX = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("segments", pa.int32(), nullable=False),
        pa.field("speech_s", pa.float64(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("language_probability", pa.float64()),
    ]
)


def write_shard(
    path: Path,
    dataset: str,
    model: str | None,
    found: Mapping[str, Row],
    recipe: Mapping[str, Any],
    source: str = SOURCE,
) -> None:
    """Write the transcripts of one shard: the columns of `transcripts`, and the state of every video as a note.

    Parameters
    ----------
    path : Path
        The Parquet file.
    dataset, model : str
        Key of the dataset; what recognised the speech, None if that is not known.
    found : dict of str to dict
        Video id -> `key`, `status` (`ok`, `no_speech`, `no_audio`, `failed`), `reason`, `language`,
        `language_probability` and `segments` (each `start_s`, `end_s`, `text`, `words`).
    recipe : dict
        Everything that decides the text; kept as a note.
    source : {"whisper", "srt", "jsonl", "csv"}
        Recognised here, or the layout of the files that they were read from.
    """
    rows, videos = [], []
    for video_id, transcript in sorted(found.items()):
        segments = transcript["segments"]
        shared = {"dataset": dataset, "video_id": video_id, "source": source, "model": model}
        for index, segment in enumerate(segments):
            rows.append({**shared, "segment_index": index, "language": transcript["language"], **segment})
        state = {key: value for key, value in transcript.items() if key != "segments"}
        spoken_s = sum(segment["end_s"] - segment["start_s"] for segment in segments)
        videos.append({"video_id": video_id, **state, "segments": len(segments), "speech_s": round(spoken_s, 3)})
    notes = {
        "schema_version": SCHEMA_VERSION,
        VIDEOS_KEY.decode(): json.dumps(videos, sort_keys=True),
        "recipe": json.dumps(recipe, sort_keys=True),
    }
    write_table(path, pa.Table.from_pylist(rows, schema=TRANSCRIPTS), notes)


def video_states(path: Path) -> list[Row]:
    """Return the state of every video of a shard, as columns of the index without `shard`.

    Raises
    ------
    UserError
        the file is not a shard of transcripts
    """
    notes = read_table(path, ["video_id"]).schema.metadata or {}
    if VIDEOS_KEY not in notes:
        raise UserError(f"{path}: no state of videos in it; no rule for transcripts made it")
    return json.loads(notes[VIDEOS_KEY])


def write_transcript_index(shards: Iterable[Path], out: Path) -> None:
    """Write one row per video of all shards: status, reason, language, number of segments, seconds of speech."""
    rows = [{**state, "shard": shard.stem} for shard in shards for state in video_states(shard)]
    write_table(out, pa.Table.from_pylist(sorted(rows, key=lambda row: row["video_id"]), schema=INDEX))


def write_srt_files(shards: Sequence[Path], folder: Path) -> None:
    """Write `<video id>.srt` for every video that was listened to (`file_of`); without speech the file is empty.

    A video without sound has an empty file too; one that failed has none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        subtitles: dict[str, list[tuple[float, float, str]]] = {
            state["video_id"]: [] for state in video_states(shard) if state["status"] != "failed"
        }
        for row in read_table(shard, ["video_id", "start_s", "end_s", "text"]).to_pylist():
            subtitles[row["video_id"]].append((row["start_s"], row["end_s"], row["text"]))
        for video_id, lines in subtitles.items():
            write_if_changed(file_of(folder, video_id, ".srt"), srt_text(lines))
