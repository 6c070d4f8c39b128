"""Transcripts from a folder of files that somebody published: subtitles, or a text per clip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.clip_texts import ClipFields, parse_clip_texts
from workflow_scripts.lib.datasets.srt import Subtitle, parse_srt
from workflow_scripts.lib.datasets.transcript_files import NO_SPEECH, OK
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.foreign.boundary import reading
from workflow_scripts.lib.store.digest import digest_bytes, digest_json
from workflow_scripts.lib.store.id_patterns import (
    VIDEO_FIELDS,
    check_pattern,
    fill_pattern,
    pattern_fields,
    require_any_file,
)
from workflow_scripts.lib.store.shard_job import FAILED
from workflow_scripts.lib.store.shards import is_in_shard
from workflow_scripts.lib.store.tables import read_table

SOURCE = "srt"
"""What tables of transcripts call this origin of their lines; the layout of the files."""


FIELDS = (*VIDEO_FIELDS, "split")
"""Fields of a pattern; `split` is the first one of the video."""


def read_shard(settings: Mapping[str, Any], table: Path, shard: str, n_shards: int) -> dict[str, dict[str, Any]]:
    """Return the transcripts of one shard's videos, by id, as `write_shard` of transcript_files.py takes them.

    Parameters
    ----------
    settings : dict
        Content of the settings file of imported transcripts.
    table : Path
        Table of all videos of the dataset.
    shard, n_shards : str, int
        Name of the shard and number of shards.

    Raises
    ------
    UserError
        The pattern names an unknown field, or no file is called as it says.
    """
    folder, pattern = Path(settings["source"]["path"]), settings["source"]["id_pattern"]
    check_pattern(pattern, FIELDS)
    columns = [*VIDEO_FIELDS, *pattern_fields(pattern) & {"split"}]
    names = {row["video_id"]: _name(pattern, row) for row in read_table(table, columns).to_pylist()}
    require_any_file(names, lambda name: (folder / name).is_file(), lambda: _example(folder), folder, pattern)
    own = {video_id: name for video_id, name in names.items() if is_in_shard(video_id, shard, n_shards)}
    return {video_id: read_transcript(folder, name, settings["recipe"]) for video_id, name in own.items()}


def _name(pattern: str, row: Mapping[str, Any]) -> str | None:
    return fill_pattern(pattern, {**row, "split": next(iter(row.get("split", ())), None)})


def _example(folder: Path) -> str:
    return next((str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()), "no file")


def read_transcript(folder: Path, name: str | None, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the transcript of one video; a missing or unreadable file becomes a status.

    Parameters
    ----------
    folder, name : Path, str or None
        Where the files are, and the video's; None if the pattern gives no name.
    recipe : dict
        With `language`, which the key of the transcript holds too, `layout` (default: srt) and `fields`.
    """
    status, reason, segments, content = FAILED, "", [], b""
    try:
        content = (folder / (name or "")).read_bytes()
        text = content.decode("utf-8")
        with reading(name or "", path=folder / (name or "")):
            entries = _entries(text, recipe, name or "")
            for entry in entries:
                entry.text.encode()  # Halves of characters, which JSON may hold and a table may not.
        segments = [{**entry._asdict(), "words": None} for entry in entries]
        status = OK if segments else NO_SPEECH
    except (FileNotFoundError, IsADirectoryError):
        reason = f"missing: no {name}"
    except OSError as error:
        reason = f"unreadable: {name}: {error.strerror}"
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


def _entries(content: str, recipe: Mapping[str, Any], name: str) -> list[Subtitle]:
    layout = recipe.get("layout", SOURCE)
    if layout == SOURCE:
        return parse_srt(content, name)
    return parse_clip_texts(content, layout, ClipFields(**recipe.get("fields") or {}), name)
