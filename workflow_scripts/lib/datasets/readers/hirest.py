"""HiREST: prompts with their videos, each with a moment and steps.

One JSON object per split: prompt -> file name -> `relevant`, `clip`, `v_duration`, `bounds`, `steps`. The moments of
the test split were not published, but steps of most of its videos were (`formatted_moment_evaluation_gt.json`: file
name -> `captions`). That file, under the split's name with `_steps` added, makes a split of that name: the prompts of
these videos again, with their steps, and as moment the span from the first to the last of them, which is what moments
are wherever both are known. Under the split's name with `_negatives` stand further videos of its corpus, about which
nothing is known (`all_data_test_negative_samples.json`). `categories` (`categories.json`: `prompt_to_cat`) names the
category of every prompt, which its queries then carry in `extra_json`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import UnknownVideo
from workflow_scripts.lib.datasets.source_files import (
    extra_json,
    read_json,
    require,
    require_duration,
    require_object,
    require_span,
    without_suffix,
)

STEPS_SUFFIX, NEGATIVES_SUFFIX, CATEGORIES = "_steps", "_negatives", "categories"
FIELDS = ("relevant", "clip", "v_duration", "bounds", "steps")
# What the files hold where there is no moment, or where it was not published.
PLACEHOLDERS = ((0.0, 0.0), (0.0, 1.0))


def splits_of(names: Iterable[str]) -> list[str]:
    """Return the splits, those of steps among them."""
    return [name for name in names if not name.endswith(NEGATIVES_SUFFIX) and name != CATEGORIES]


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read HiREST files.

    Parameters
    ----------
    files : dict of str to Path
        `.json` file of every split, of steps published apart under `<split>_steps`, of further videos under
        `<split>_negatives`, and of `categories`.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries (one for every prompt and video), moments and steps.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        if not split.endswith((STEPS_SUFFIX, NEGATIVES_SUFFIX, CATEGORIES)):
            for prompt, videos in require_object(read_json(path), str(path)).items():
                for name, entry in require_object(videos, f"{path}:{prompt!r}").items():
                    where = f"{path}:{prompt!r}:{name}"
                    _add_entry(annotations, split, prompt, name, require_object(entry, where), where)
    for split, path in files.items():
        if split.endswith(STEPS_SUFFIX):
            _add_separate_steps(annotations, split, path)
        elif split.endswith(NEGATIVES_SUFFIX):
            _add_negatives(annotations, split.removesuffix(NEGATIVES_SUFFIX), path)
    if CATEGORIES in files:
        _add_categories(annotations, files[CATEGORIES])
    return annotations


def _add_categories(annotations: Annotations, path: Path) -> None:
    categories = require(require_object(read_json(path), str(path)), "prompt_to_cat", dict, str(path))
    for query in annotations.queries:
        if query["text"] in categories:
            said = json.loads(query.get("extra_json") or "{}")
            query["extra_json"] = json.dumps(said | {"category": categories[query["text"]]})


def _add_negatives(annotations: Annotations, split: str, path: Path) -> None:
    for key, videos in require_object(read_json(path), str(path)).items():
        for name in require_object(videos, f"{path}:{key!r}"):
            annotations.add_video(without_suffix(name), split, None, f"{path}:{key!r}:{name}", source_video_id=name)


def _add_entry(annotations: Annotations, split: str, prompt: str, name: str, entry: dict[str, Any], where: str) -> None:
    video_id = without_suffix(name)
    duration_s = require_duration(entry, "v_duration", where)
    annotations.add_video(video_id, split, duration_s, where, source_video_id=name)
    is_clippable = require(entry, "clip", bool, where)
    start_s, end_s = require_span(require(entry, "bounds", list, where), f"{where}:bounds")
    has_moment = is_clippable and (start_s, end_s) not in PLACEHOLDERS
    placeholder = {} if has_moment else {"placeholder_bounds": entry["bounds"]}
    query_id = annotations.add_query(
        video_id,
        split,
        prompt,
        where,
        query_id=f"{annotations.dataset}/{split}/{prompt}#{video_id}",
        relevant=require(entry, "relevant", bool, where),
        clippable=is_clippable,
        extra_json=extra_json({**entry, **placeholder}, FIELDS),
    )
    if has_moment:
        annotations.add_moment(video_id, split, query_id, start_s, end_s)
    for index, step in enumerate(require(entry, "steps", list, where)):
        place = f"{where}:steps[{index}]"
        require_object(step, place)
        span = require_span(require(step, "absolute_bounds", list, place), f"{place}:absolute_bounds")
        _add_step(annotations, split, video_id, query_id, index, span, require(step, "heading", str, place))


def _add_separate_steps(annotations: Annotations, split: str, path: Path) -> None:
    source = split.removesuffix(STEPS_SUFFIX)
    query_of_video = {row["video_id"]: row for row in annotations.queries if row["split"] == source}
    durations = {row["video_id"]: row["duration_s"] for row in annotations.videos}
    for name, entry in require_object(read_json(path), str(path)).items():
        where = f"{path}:{name}"
        video_id = without_suffix(name)
        if video_id not in query_of_video:
            raise UnknownVideo(where, f"steps of {video_id}", f"a video of the split {source!r}")
        known = query_of_video[video_id]
        annotations.add_video(video_id, split, durations[video_id], where, source_video_id=name)
        query_id = annotations.add_query(
            video_id,
            split,
            known["text"],
            where,
            query_id=f"{annotations.dataset}/{split}/{known['text']}#{video_id}",
            relevant=known["relevant"],
            clippable=known["clippable"],
        )
        spans = []
        for index, step in enumerate(require(require_object(entry, where), "captions", list, where)):
            place = f"{where}:captions[{index}]"
            bounds = [require(require_object(step, place), key, (int, float), place) for key in ("start", "end")]
            spans.append(require_span(bounds, place))
            _add_step(annotations, split, video_id, query_id, index, spans[-1], require(step, "sentence", str, place))
        if spans:
            annotations.add_moment(video_id, split, query_id, spans[0][0], spans[-1][1])


def _add_step(
    annotations: Annotations,
    split: str,
    video_id: str,
    query_id: str,
    index: int,
    span: tuple[float, float],
    text: str,
) -> None:
    annotations.steps.append(
        {
            "dataset": annotations.dataset,
            "split": split,
            "video_id": video_id,
            "query_id": query_id,
            "step_index": index,
            "start_s": span[0],
            "end_s": span[1],
            "text": text,
        }
    )
