"""HiREST: prompts with their videos, each with a moment and steps.

One JSON object per split: prompt -> file name -> `relevant`, `clip`, `v_duration`, `bounds`, `steps`. The steps of the
test split are published apart (`formatted_moment_evaluation_gt.json`: file name -> `captions`); give that file under
the split's name with `_steps` added, e.g. `test_steps`.
"""

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

VERSION = 1

STEPS_SUFFIX = "_steps"
FIELDS = ("relevant", "clip", "v_duration", "bounds", "steps")
# What the files hold where there is no moment, or where it was not published.
PLACEHOLDERS = ((0.0, 0.0), (0.0, 1.0))


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read HiREST files.

    Parameters
    ----------
    files : dict of str to Path
        `.json` file of every split, and of steps published apart under `<split>_steps`.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries (one for every prompt and video), moments and steps.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        if not split.endswith(STEPS_SUFFIX):
            for prompt, videos in require_object(read_json(path), str(path)).items():
                for name, entry in require_object(videos, f"{path}:{prompt!r}").items():
                    where = f"{path}:{prompt!r}:{name}"
                    _add_entry(annotations, split, prompt, name, require_object(entry, where), where)
    for split, path in files.items():
        if split.endswith(STEPS_SUFFIX):
            _add_separate_steps(annotations, split.removesuffix(STEPS_SUFFIX), path)
    return annotations


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
    query_of_video = {row["video_id"]: row["query_id"] for row in annotations.queries if row["split"] == split}
    for name, entry in require_object(read_json(path), str(path)).items():
        where = f"{path}:{name}"
        video_id = without_suffix(name)
        if video_id not in query_of_video:
            raise UnknownVideo(where, f"steps of {video_id}", f"a video of the split {split!r}")
        for index, step in enumerate(require(require_object(entry, where), "captions", list, where)):
            place = f"{where}:captions[{index}]"
            bounds = [require(require_object(step, place), key, (int, float), place) for key in ("start", "end")]
            span = require_span(bounds, place)
            text = require(step, "sentence", str, place)
            _add_step(annotations, split, video_id, query_of_video[video_id], index, span, text)


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
