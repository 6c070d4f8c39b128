"""Moments that somebody marked, kept as annotations of the format `plain`, which a dataset's file can name at once."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.store.digest import digest_json

LONGEST_QUERY = 2000


class Corrections:
    """The file of marked moments, one JSON object per line.

    Parameters
    ----------
    path : `.jsonl` file; it need not be there
    files : video id -> its file below the folder of the videos
    """

    def __init__(self, path: Path, files: Mapping[str, str | None]) -> None:
        if path.suffix != ".jsonl":
            raise UserError(f"{path}: moments are kept as one JSON object per line; call the file something.jsonl")
        self.path, self._files, self._lock = path, files, Lock()
        self.rows()

    def rows(self) -> list[dict[str, Any]]:
        """Return all marked moments.

        Raises
        ------
        UserError
            a line of the file is none
        """
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        return [self._read(number, line) for number, line in enumerate(lines, 1) if line.strip()]

    def _read(self, number: int, line: str) -> dict[str, Any]:
        try:
            row = json.loads(line)
            return row | {name: row[name] for name in ("video", "query", "start", "end")}
        except (json.JSONDecodeError, TypeError, KeyError) as error:
            raise UserError(f"{self.path}:{number}: no marked moment ({error}); correct or remove the line") from error

    def keep(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Add a moment and return its line; it takes the place of moments of the same query that it overlaps.

        Parameters
        ----------
        asked : `video` (its id), `query`, `start` and `end` in seconds

        Raises
        ------
        UserError
            it is none of a known video
        """
        video_id, query = asked.get("video"), asked.get("query")
        start, end = asked.get("start"), asked.get("end")
        if not isinstance(video_id, str) or not self._files.get(video_id):
            raise UserError(f"video: {video_id!r} is none of this dataset")
        if not isinstance(query, str) or not query.strip() or len(query) > LONGEST_QUERY:
            raise UserError(f"query: a sentence of 1 to {LONGEST_QUERY} characters is needed")
        if not (_is_time(start) and _is_time(end) and 0 <= start < end):
            raise UserError(f"start, end: {start!r} and {end!r} are no moment; seconds are needed, the start first")
        row = {"video": self._files[video_id], "query": " ".join(query.split())}
        # Lines of one `qid` are further moments of one query.
        row |= {"start": round(start, 2), "end": round(end, 2), "qid": digest_json([row["video"], row["query"]])[:12]}
        with self._lock:
            kept = [old for old in self.rows() if not _replaces(row, old)]
            lines = [json.dumps(each, ensure_ascii=False) for each in [*kept, row]]
            write_text(self.path, "\n".join(lines) + "\n")
        return row


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _replaces(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    is_same = (new["video"], new["query"]) == (old["video"], old["query"])
    return is_same and new["start"] < old["end"] and old["start"] < new["end"]
