"""Put published feature files of one shard's videos (or queries) into a feature store."""

import argparse
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.imports import MISSING, import_times, report_lines, wrong_length
from workflow_scripts.lib.extraction.job import run_job
from workflow_scripts.lib.extraction.settings import read_settings
from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.feature_files import FeatureSource, UnreadableFile, open_source
from workflow_scripts.lib.store.id_patterns import (
    QUERY_COLUMNS,
    QUERY_FIELDS,
    VIDEO_FIELDS,
    check_pattern,
    fill_pattern,
    query_fields,
)
from workflow_scripts.lib.store.shard_job import Computed, Wanted
from workflow_scripts.lib.store.shard_store import read_shard_index
from workflow_scripts.lib.store.shards import shard_name, shard_of
from workflow_scripts.lib.store.tables import read_table

log = logging.getLogger(__name__)

NO_ROWS = (np.zeros((0, 0), np.float32), np.zeros((0, 2), np.float32))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the feature")
    parser.add_argument("--recipe", required=True, help="digest of the recipe this job is for")
    parser.add_argument("--rows-of", required=True, type=Path, help="table of all videos (text: of all queries)")
    parser.add_argument("--shard", required=True, help="name of the shard")
    parser.add_argument("--n-shards", required=True, type=int, help="number of shards")
    parser.add_argument("--store", required=True, type=Path, help="shard store to bring up to date (a .zarr folder)")
    parser.add_argument("--report", required=True, type=Path, help="table of what was found, to write")
    return parser.parse_args()


def require_any(source: FeatureSource, names: dict[str, str | None], path: Path, pattern: str) -> None:
    """Raise `UserError` if there is a file for none of the whole dataset: path or pattern are wrong."""
    if names and not any(name and source.digest(name) for name in names.values()):
        asked, there = next(iter(names.values())), source.example()
        raise UserError(
            f"{path}: nothing there is called as `id_pattern: {pattern}` says; looked for {asked!r} and "
            f"{len(names) - 1} others, found e.g. {there!r}. Change `path` or `id_pattern` in the feature's file."
        )


def main() -> None:
    args = parse()
    settings = read_settings(args.settings, args.recipe)
    recipe, path, pattern = settings["recipe"], Path(settings["source"]["path"]), settings["source"]["id_pattern"]
    is_text = recipe["kind"] == "text"
    id_column, fields = ("query_id", QUERY_FIELDS) if is_text else ("video_id", VIDEO_FIELDS)
    check_pattern(pattern, fields)
    table = read_table(args.rows_of, [*QUERY_COLUMNS] if is_text else [*fields, "duration_s"]).to_pylist()
    table = [query_fields(row) for row in table] if is_text else table
    rows: dict[str, dict[str, Any]] = {
        row[id_column]: row
        for row in table
        if shard_name(shard_of(row["video_id"], args.n_shards), args.n_shards) == args.shard
    }
    source = open_source(path, recipe["layout"], recipe["key"])
    names = {row_id: fill_pattern(pattern, row) for row_id, row in rows.items()}
    digests = {row_id: (source.digest(name) if name else None) or MISSING for row_id, name in names.items()}
    if set(digests.values()) == {MISSING}:
        require_any(source, {row[id_column]: fill_pattern(pattern, row) for row in table}, path, pattern)

    def compute(missing: Iterable[str]) -> Iterator[Computed]:
        for row_id in missing:
            if digests[row_id] == MISSING:
                yield Computed(row_id, *NO_ROWS, "failed", f"missing: no {names[row_id]}")
                continue
            try:
                values = source.read(names[row_id] or "")
            except UnreadableFile as error:
                yield Computed(row_id, *NO_ROWS, "failed", f"unreadable: {error}")
                continue
            wrong = wrong_length(recipe, len(values), rows[row_id].get("duration_s"))
            if wrong and recipe["on_wrong_length"] == "fail":
                yield Computed(row_id, *NO_ROWS, "failed", f"wrong length: {wrong}")
            else:
                yield Computed(row_id, values, import_times(recipe, len(values), rows[row_id].get("duration_s")))

    wanted = [Wanted(i, digest_json([digest, rows[i].get("duration_s")])) for i, digest in digests.items()]
    run_job(settings, args.store, wanted, compute)
    _, held = read_shard_index(args.store)
    lines = report_lines(recipe, held, names, {row_id: row.get("duration_s") for row_id, row in rows.items()})
    write_text(args.report, "".join("\t".join(line) + "\n" for line in lines))
    log.info("%s: %d of %d imported; see %s", path, sum(v.status == "ok" for v in held), len(held), args.report)


if __name__ == "__main__":
    run_entry_point(main)
