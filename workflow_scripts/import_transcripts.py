"""Put published subtitle files of one shard's videos into a table of transcripts."""

import argparse
import logging
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.srt import parse_srt
from workflow_scripts.lib.datasets.transcript_files import NO_SPEECH, OK, write_shard
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.settings import read_settings
from workflow_scripts.lib.store.digest import digest_bytes, digest_json
from workflow_scripts.lib.store.id_patterns import VIDEO_FIELDS, check_pattern, fill_pattern
from workflow_scripts.lib.store.shard_job import FAILED
from workflow_scripts.lib.store.shards import shard_name, shard_of
from workflow_scripts.lib.store.tables import read_table

log = logging.getLogger(__name__)

SOURCE = "srt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the transcripts")
    parser.add_argument("--recipe", required=True, help="digest of the recipe this job is for")
    parser.add_argument("--rows-of", required=True, type=Path, help="table of all videos")
    parser.add_argument("--shard", required=True, help="name of the shard")
    parser.add_argument("--n-shards", required=True, type=int, help="number of shards")
    parser.add_argument("--out", required=True, type=Path, help="table of the shard's transcripts (.parquet)")
    args = parser.parse_args()
    settings = read_settings(args.settings, args.recipe)
    recipe, folder, pattern = settings["recipe"], Path(settings["source"]["path"]), settings["source"]["id_pattern"]
    check_pattern(pattern, VIDEO_FIELDS)
    table = read_table(args.rows_of, list(VIDEO_FIELDS)).to_pylist()
    names = {row["video_id"]: fill_pattern(pattern, row) for row in table}
    require_any(folder, names, pattern)
    found = {
        video_id: record(folder, name, recipe)
        for video_id, name in names.items()
        if shard_name(shard_of(video_id, args.n_shards), args.n_shards) == args.shard
    }
    write_shard(args.out, settings["dataset"], None, found, recipe, SOURCE)
    for video_id, kept in found.items():
        if kept["status"] == FAILED:
            log.warning("%s: %s", video_id, kept["reason"])
    log.info("%s: %d of %d videos have speech", folder, sum(r["status"] == OK for r in found.values()), len(found))


def require_any(folder: Path, names: dict[str, str | None], pattern: str) -> None:
    """Raise `UserError` if there is a file for none of the whole dataset: path or pattern are wrong."""
    if names and not any(name and (folder / name).is_file() for name in names.values()):
        there = next((path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()), "no file")
        raise UserError(
            f"{folder}: nothing there is called as `id_pattern: {pattern}` says; looked for "
            f"{next(iter(names.values()))!r} and {len(names) - 1} others, found e.g. {str(there)!r}. "
            "Change `path` or `id_pattern` in the feature's file."
        )


def record(folder: Path, name: str | None, recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the transcript of one video; a missing or unreadable file becomes a status."""
    status, reason, segments, content = FAILED, "", [], b""
    try:
        content = (folder / (name or "")).read_bytes()
        entries = parse_srt(content.decode("utf-8"), name or "")
        segments = [{**entry._asdict(), "words": None} for entry in entries]
        status = OK if segments else NO_SPEECH
    except (FileNotFoundError, IsADirectoryError):
        reason = f"missing: no {name}"
    except UnicodeDecodeError as error:
        reason = f"unreadable: {name}: not UTF-8 ({error.reason} at byte {error.start}); convert the file"
    except UserError as error:
        reason = f"unreadable: {error}"
    return {
        "key": digest_json([digest_bytes(content), status, recipe]),
        "status": status,
        "reason": reason,
        "language": recipe["language"] if segments else None,
        "language_probability": None,
        "segments": segments,
    }


if __name__ == "__main__":
    run_entry_point(main)
