"""Annotation files of the demo, in the layouts in which real datasets are published."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.demo.event_plan import SPLITS, VideoPlan, plan_digest, plan_record
from workflow_scripts.lib.datasets.demo.sentences import (
    audiovisual_caption,
    prompt,
    step_heading,
    video_queries,
    visual_caption,
)
from workflow_scripts.lib.store.atomic import write_if_changed

CLIP_CS = 200
# Room for the queries of one video and the videos of one split, so that a query's number does not depend on how many
# others there are.
QUERIES_PER_VIDEO = 20
VIDEOS_PER_SPLIT = 10_000
# Events in the moment of a HiREST prompt: with more, one constant span would find most moments.
MOMENT_EVENTS = (2, 4)
# HiREST calls a video clippable if the moment is shorter than this share of it.
CLIPPABLE_SHARE = 0.75


def write_sources(folder: Path, plans: list[VideoPlan]) -> list[Path]:
    """Write the annotation files of all videos; files that would not change are left alone.

    Parameters
    ----------
    folder : Path
        Receives `highlight_{split}.jsonl` (QVHighlights), `hirest_{split}.json` (HiREST), `captions_{split}.json`
        (UniQ4Cap) and `events.json` (the plans).
    plans : list of VideoPlan
        The videos.

    Returns
    -------
    list of Path
        The files.
    """
    files = source_files(plans)
    for name, text in files.items():
        write_if_changed(folder / name, text)
    return [folder / name for name in files]


def source_files(plans: list[VideoPlan]) -> dict[str, str]:
    """Return the text of every annotation file by its name."""
    files = {}
    for split in SPLITS:
        chosen = [plan for plan in plans if plan.split == split]
        files[f"highlight_{split}.jsonl"] = "".join(
            json.dumps(row) + "\n" for plan in chosen for row in highlight_rows(plan)
        )
        files[f"hirest_{split}.json"] = _dump(_merge(hirest_entry(plan) for plan in chosen))
        files[f"captions_{split}.json"] = _dump([caption_entry(plan) for plan in chosen])
    files["events.json"] = _dump({plan.video_id: {**plan_record(plan), "digest": plan_digest(plan)} for plan in plans})
    return files


def highlight_rows(plan: VideoPlan) -> list[dict[str, Any]]:
    """Return a video's queries in the QVHighlights layout, with the field `kind` added.

    Notes
    -----
    Windows are exact, not on QVHighlights' 2 s grid. A complete 2 s clip is relevant if it overlaps the window; its
    three raters give the more points the more of it is covered, and the best-covered clip gets 4 from all.
    """
    first = (SPLITS.index(plan.split) * VIDEOS_PER_SPLIT + plan.index) * QUERIES_PER_VIDEO
    rows = []
    for number, query in enumerate(video_queries(plan)):
        event = plan.events[query.event]
        clips = saliency(event.start_cs, event.end_cs, plan.duration_cs)
        rows.append(
            {
                "qid": first + number,
                "query": query.text,
                "duration": plan.duration_cs / 100,
                "vid": plan.video_id,
                "relevant_windows": [[event.start_cs / 100, event.end_cs / 100]],
                "relevant_clip_ids": list(clips),
                "saliency_scores": list(clips.values()),
                "kind": query.kind,
            }
        )
    return rows


def saliency(start_cs: int, end_cs: int, duration_cs: int) -> dict[int, list[int]]:
    """Return three raters' scores (1..4) of every complete 2 s clip that overlaps a window given in centiseconds."""
    overlaps = {
        clip: min(end_cs, (clip + 1) * CLIP_CS) - max(start_cs, clip * CLIP_CS)
        for clip in range(start_cs // CLIP_CS, duration_cs // CLIP_CS)
        if clip * CLIP_CS < end_cs
    }
    best = max(overlaps.values())
    # Raters differ in how strict they are: a quarter of a clip between one and the next would be a whole point.
    return {
        clip: [4, 4, 4] if overlap == best else [1 + (3 * overlap + 50 * rater) // CLIP_CS for rater in range(3)]
        for clip, overlap in overlaps.items()
    }


def hirest_entry(plan: VideoPlan) -> tuple[str, str, dict[str, Any]]:
    """Return a video's prompt, file name and entry in the HiREST layout.

    Notes
    -----
    The moment is a run of events named by its first and last one; its steps touch, as in HiREST: each ends where the
    next begins.
    """
    first, last = _moment_events(plan)
    run = plan.events[first : last + 1]
    starts = [event.start_cs / 100 for event in run]
    ends = [*starts[1:], run[-1].end_cs / 100]
    is_clippable = run[-1].end_cs - run[0].start_cs < CLIPPABLE_SHARE * plan.duration_cs
    entry = {
        "relevant": True,
        "clip": is_clippable,
        "v_duration": plan.duration_cs / 100,
        "bounds": [starts[0], ends[-1]] if is_clippable else [0, 0],
        "steps": [
            {"index": i, "heading": step_heading(event), "absolute_bounds": [start, end]}
            for i, (event, start, end) in enumerate(zip(run, starts, ends, strict=True))
            if is_clippable
        ],
    }
    return prompt(run[0], run[-1]), f"{plan.video_id}.mp4", entry


def caption_entry(plan: VideoPlan) -> dict[str, str]:
    """Return a video's captions in the UniQ4Cap layout, with the field `split` added."""
    return {
        "id": plan.video_id,
        "split": plan.split,
        "sound_mplug": audiovisual_caption(plan),
        "mplug": visual_caption(plan),
    }


def _moment_events(plan: VideoPlan) -> tuple[int, int]:
    """First and last event of the moment: both can be told from all others; which run, is the video's."""
    asked = [position for position, event in enumerate(plan.events) if event.kind is not None]
    runs = [(a, b) for a in asked for b in asked if MOMENT_EVENTS[0] <= b - a + 1 <= MOMENT_EVENTS[1]] or [
        (asked[0], asked[-1])
    ]
    return runs[plan.events[0].variant % len(runs)]


def _merge(entries: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for text, file_name, entry in entries:
        merged.setdefault(text, {})[file_name] = entry
    return merged


def _dump(obj: Any) -> str:
    return json.dumps(obj, indent=1) + "\n"
