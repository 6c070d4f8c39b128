"""Gather what a report shows of a run: answers of all seeds, videos, pictures, speech, training, coverage."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

from workflow_scripts.lib.datasets.schema import without_empty
from workflow_scripts.lib.predictions.answer_tables import QUERY_SCORES, ZERO, read_answers
from workflow_scripts.lib.predictions.references import annotations_folder, read_references
from workflow_scripts.lib.reporting.coverage import coverage
from workflow_scripts.lib.reporting.entries import (
    Entry,
    SeedAnswers,
    caption_entries,
    query_entries,
    ranking_entries,
)
from workflow_scripts.lib.reporting.html import Shown
from workflow_scripts.lib.reporting.shown_captions import caption_scores
from workflow_scripts.lib.reporting.shown_clips import MAX_SECONDS, add_clips
from workflow_scripts.lib.reporting.shown_pictures import MAX_PICTURES, add_pictures
from workflow_scripts.lib.reporting.shown_videos import (
    VideoFile,
    address,
    speech_lines,
    transcript_of,
    unusable_videos,
    video_files,
)
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.results import PER_QUERY
from workflow_scripts.lib.scoring.tasks import TASKS
from workflow_scripts.lib.store.settings_files import window_seconds
from workflow_scripts.lib.store.tables import read_table


@dataclass(frozen=True)
class Beside:
    """Files beside a page.

    Attributes
    ----------
    folder : to write thumbnails into
    has_clips : whether to write small copies of what browsers do not play, too
    ffmpeg : as of `ffmpeg_exe`
    """

    folder: Path
    has_clips: bool = False
    ffmpeg: str | None = None


def collect_shown(settings_path: Path, metrics: Mapping[str, Any], page: Path, beside: Beside | None) -> Shown:
    """Return what the report of a run shows.

    Parameters
    ----------
    settings_path : `results/<dataset>/<system>/settings.json`
    metrics : content of the system's metrics.json
    page : the report
    beside : what is written beside it; None: nothing
    """
    settings = json.loads(settings_path.read_text(encoding="utf-8"))
    run, config, split_name = settings_path.parent, settings["config"], metrics["split"]
    annotations, videos = annotations_folder(settings_path, settings), run.parents[1] / settings["videos"]
    split = AnnotatedSplit.read(annotations, split_name, config["queries"]["kinds"])
    references = read_references(annotations, split_name, config["queries"])
    seeds = [_read_seed(run / seed / split_name, seed) for seed in sorted(metrics["seeds"])]
    entries = [
        *query_entries(split, references, seeds, config["evaluation"]["group_by"]),
        *caption_entries(split, seeds, window_seconds(settings)),
        *ranking_entries(split, seeds),
    ]
    entries.sort(key=_worst_first)
    named = {each.query_id: each.video_id for each in references}
    covered, lost = coverage(config["streams"], videos, annotations.parent, {*named, *named.values()})
    _add_reasons(entries, lost, without_empty(split.table("moments"), read_table(annotations / "videos.parquet"))[1])
    shown_ids = _video_ids(entries)
    files = video_files(videos, shown_ids)
    n_without = add_pictures(beside.folder, entries, files) if beside else 0
    clips, n_unplayed = {}, 0
    if beside and beside.has_clips:
        clips, n_unplayed = add_clips(beside.folder, entries, files, beside.ffmpeg)
    name, transcript = transcript_of(videos, annotations, settings)
    speech, n_silent = speech_lines(transcript, shown_ids)
    cut = [f"{n_without} queries have no thumbnails: a report makes {MAX_PICTURES} at most."] if n_without else []
    if n_unplayed:
        cut.append(f"{n_unplayed} queries have no small copies: a report makes {MAX_SECONDS:.0f} seconds at most.")
    cut += [f"What is said is left out for {n_silent} videos: the page would be too long."] if n_silent else []
    if beside:
        for file in chain(*(entry.get("pictures", ()) for entry in entries), *clips.values()):
            file[2] = f"{beside.folder.name}/{file[2]}"
    return Shown(
        entries,
        [own.seed for own in seeds],
        {name: _shown_video(files[name], page, speech.get(name), clips.get(name)) for name in shown_ids},
        {own.seed: _history(run / own.seed / "history.jsonl") for own in seeds},
        covered,
        cut,
        name if speech else "",
        unusable_videos(videos),
    )


def _read_seed(run: Path, seed: str) -> SeedAnswers:
    return SeedAnswers(
        seed,
        {task: read_answers(run, task).to_pylist() for task in TASKS},
        read_table(run / QUERY_SCORES).to_pylist(),
        caption_scores(read_table(run / PER_QUERY)),
        read_answers(run, "captions", f"{ZERO}audio").to_pylist(),
    )


def _worst_first(entry: Entry) -> tuple[bool, float]:
    """Return a sort key: the lowest mean over seeds first, what nobody judges last."""
    known = [quality for quality in entry["quality"] if quality is not None]
    return not known, fmean(known) if known else 0.0


def _add_reasons(
    entries: Sequence[Entry], lost: Mapping[str, Sequence[tuple[str, str]]], empty: Mapping[str, str]
) -> None:
    """Say of an entry why it was not asked, has an empty moment, or was asked without rows of a stream."""
    for entry in entries:
        missing = [*lost.get(entry["id"], ()), *lost.get(entry["video"], ())]
        if "not asked" in entry["outcome"]:
            entry["why"] = "; ".join(why for _, why in missing) or "no rows, or not what the system takes"
        elif entry["id"] in empty:
            entry["why"] = empty[entry["id"]]
        elif missing:
            # What a system tells about a stream says nothing where the stream is empty.
            streams = tuple(f"{stream} " for stream, _ in missing)
            told = [note for note in entry.get("notes", ()) if not note.startswith(streams)]
            entry["notes"] = [*told, *(f"without {stream} ({why})" for stream, why in missing)]


def _video_ids(entries: Sequence[Entry]) -> list[str]:
    ranked = (row[0] for entry in entries for rows in entry.get("ranking", ()) for row in rows)
    return list(dict.fromkeys([*(entry["video"] for entry in entries if entry["video"]), *ranked]))


def _shown_video(
    file: VideoFile, page: Path, speech: Sequence[Any] | None, clips: Sequence[Any] | None
) -> dict[str, Any]:
    place = {"reason": file.reason} if file.path is None else {"src": address(file.path, page)}
    known = {"codec": file.codec, "duration": file.duration_s, "speech": speech, "clips": clips}
    return place | {name: value for name, value in known.items() if value}


def _history(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]
