"""The rows of one shard's videos (or queries) in feature files that somebody published."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.lib.extraction.imports import (
    MISSING,
    implausible_length,
    import_times,
    report_lines,
    wrong_length,
    wrong_rate,
)
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.feature_files import UnreadableFile, open_source
from workflow_scripts.lib.store.id_patterns import (
    QUERY_COLUMNS,
    QUERY_FIELDS,
    VIDEO_FIELDS,
    check_pattern,
    fill_pattern,
    query_fields,
    require_any_file,
)
from workflow_scripts.lib.store.number_formats import unfitting_value
from workflow_scripts.lib.store.shard_job import FAILED, Computed, Wanted
from workflow_scripts.lib.store.shard_store import VideoRows
from workflow_scripts.lib.store.shards import is_in_shard
from workflow_scripts.lib.store.tables import read_table


class ImportedShard:
    """What a published source holds for the ids of one shard.

    Parameters
    ----------
    settings : dict
        Content of an imported feature's settings file.
    table : Path
        Table of all videos of the dataset; of all queries for text.
    shard, n_shards : str, int
        Name of the shard and number of shards.

    Raises
    ------
    UserError
        The source cannot be opened, the pattern names an unknown field, or nothing there is called as it says.
    """

    def __init__(self, settings: dict[str, Any], table: Path, shard: str, n_shards: int) -> None:
        self._recipe, source = settings["recipe"], settings["source"]
        place, pattern = Path(source["path"]), source["id_pattern"]
        is_text = self._recipe["kind"] == "text"
        id_column, fields = ("query_id", QUERY_FIELDS) if is_text else ("video_id", VIDEO_FIELDS)
        check_pattern(pattern, fields)
        every = read_table(table, QUERY_COLUMNS if is_text else [*VIDEO_FIELDS, "duration_s"])
        is_own = [is_in_shard(video_id, shard, n_shards) for video_id in every.column("video_id").to_pylist()]
        # A row becomes a dict only if it is needed: there are far more in the table than in a shard.
        own = _fields_of(every.filter(pa.array(is_own, pa.bool_())), is_text)
        self._source = open_source(place, self._recipe["layout"], self._recipe["key"])
        self._names = {row[id_column]: fill_pattern(pattern, row) for row in own}
        self._durations = {row[id_column]: row.get("duration_s") for row in own}
        self._lengths: dict[str, int] = {}
        self._digests = {
            row_id: (self._source.digest(name) if name else None) or MISSING for row_id, name in self._names.items()
        }
        if set(self._digests.values()) == {MISSING}:
            names = {row[id_column]: fill_pattern(pattern, row) for row in _fields_of(every, is_text)}
            require_any_file(names, lambda name: bool(self._source.digest(name)), self._source.example, place, pattern)

    def wanted(self) -> list[Wanted]:
        """Return every id with the digest of what its rows are made from: content and duration."""
        return [Wanted(i, digest_json([digest, self._durations[i]])) for i, digest in self._digests.items()]

    def compute(self, missing: Iterable[str]) -> Iterator[Computed]:
        """Read the rows of ids; whatever is wrong with one of them ends in its status."""
        for row_id in missing:
            if self._digests[row_id] == MISSING:
                yield _failed(row_id, f"missing: no {self._names[row_id]}")
                continue
            try:
                values = self._source.read(self._names[row_id] or "")
            except UnreadableFile as error:
                yield _failed(row_id, f"unreadable: {error}")
                continue
            duration_s = self._durations[row_id]
            implausible = implausible_length(self._recipe, len(values), duration_s)
            if implausible:
                yield _failed(row_id, f"wrong length: {implausible}, which is implausible")
                continue
            dtype = self._recipe["store_dtype"]
            unfitting = unfitting_value(values, np.dtype(dtype))
            if unfitting is not None:
                yield _failed(
                    row_id, f"unreadable: its value {unfitting:g} does not fit {dtype}; set `store_dtype: float32`"
                )
                continue
            self._lengths[row_id] = len(values)
            wrong = wrong_length(self._recipe, len(values), duration_s)
            if wrong and self._recipe["on_wrong_length"] == "fail":
                yield _failed(row_id, f"wrong length: {wrong}")
            else:
                yield Computed(row_id, values, import_times(self._recipe, len(values), duration_s))

    def wrong_rate(self) -> str | None:
        """Return what the rows that were read say of the seconds per row, if it is something else than stated."""
        return wrong_rate(self._recipe, [(n_rows, self._durations[i]) for i, n_rows in self._lengths.items()])

    def report(self, held: Iterable[VideoRows]) -> str:
        """Return the table of what was found, as text with tabs."""
        lines = report_lines(self._recipe, held, self._names, self._durations)
        return "".join("\t".join(line) + "\n" for line in lines)


def _fields_of(table: pa.Table, is_text: bool) -> list[dict[str, Any]]:
    """Return the fields of a name pattern for every query or video, and the durations of videos."""
    return [query_fields(row) for row in table.to_pylist()] if is_text else table.to_pylist()


def _failed(row_id: str, reason: str) -> Computed:
    return Computed(row_id, np.zeros((0, 0), np.float32), np.zeros((0, 2), np.float32), FAILED, reason)
