"""Pictures of what captions describe, which CLIPScore looks at: numbered files in one folder per video."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from workflow_scripts.lib.datasets.source_files import without_suffix
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.questions import Captions
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit, step_id

PER_STEP = 4
ENDINGS = (".jpg", ".jpeg", ".png")


def with_pictures(question: Captions, split: AnnotatedSplit, folder: Path, about_steps: bool) -> Captions:
    """Return the question with the pictures of every video, or of every step.

    Parameters
    ----------
    folder : holds a folder of pictures for every video, named by its id or its file; the numbers at the end of the
        pictures' names are their order. For steps they are one per second
    about_steps : whether captions are about annotated steps

    Raises
    ------
    UserError
        There is no picture of any video.

    Notes
    -----
    A step is shown by four pictures, spread evenly from its start to its end, and by none if it ends after the last
    picture (j-min/HiREST evaluate.py). A whole video is shown by all its pictures.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; `pictures` names the one with the pictures of the videos")
    inside = {without_suffix(path.name): path for path in sorted(folder.iterdir()) if path.is_dir()}
    of_video = {video: _listed(inside[video]) for video in set(question.video_ids) & inside.keys()}
    if not any(of_video.values()):
        raise UserError(f"{folder}: no folder with pictures ({', '.join(ENDINGS)}) is called as a video")
    videos = [of_video.get(video, []) for video in question.video_ids]
    if not about_steps:
        return replace(question, pictures=videos)
    steps = split.table("steps").select(["query_id", "step_index", "start_s", "end_s"]).to_pylist()
    bounds = {step_id(step["query_id"], step["step_index"]): (step["start_s"], step["end_s"]) for step in steps}
    shown = [_of_step(pictures, *bounds[name]) for name, pictures in zip(question.ids, videos, strict=True)]
    return replace(question, pictures=shown)


def _listed(folder: Path) -> list[Path]:
    numbered = [(path.stem[len(path.stem.rstrip("0123456789")) :], path) for path in folder.iterdir()]
    return [path for number, path in sorted((int(n), p) for n, p in numbered if n and p.suffix.lower() in ENDINGS)]


def _of_step(pictures: list[Path], start_s: float, end_s: float) -> list[Path]:
    if start_s >= len(pictures) or end_s >= len(pictures):
        return []
    places = np.linspace(start_s, min(end_s, len(pictures)) - 1, PER_STEP).astype(int)
    return [pictures[place] for place in places]
