"""What is said in the videos of a dataset, as a speech feature heard it."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.store.tables import read_table


class Transcripts:
    """The transcripts that a speech feature made of a dataset's videos.

    Parameters
    ----------
    folder : `results/<dataset>/transcripts/<feature>`
    """

    def __init__(self, folder: Path) -> None:
        index = read_table(folder / "index.parquet", ["video_id", "shard", "status"]).to_pylist()
        self._said: dict[str, list[tuple[float, float, str]]] = {
            row["video_id"]: [] for row in index if row["status"] != "failed"
        }
        for shard in sorted({row["shard"] for row in index}):
            segments = read_table(folder / f"{shard}.parquet", ["video_id", "start_s", "end_s", "text"])
            for row in segments.to_pylist():
                self._said[row["video_id"]].append((row["start_s"], row["end_s"], row["text"]))

    def of(self, video_id: str) -> Sequence[tuple[float, float, str]] | None:
        """Return start, end (seconds) and text of what is said in a video; None if it could not be listened to."""
        return self._said.get(video_id)
