"""The rows of one video, without the tables and shards of a workflow."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.frames_seen import Pictures
from workflow_scripts.lib.extraction.sounds_heard import Sounds
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.plan_table import plan_row
from workflow_scripts.lib.media.probe import frame_times, probe
from workflow_scripts.lib.store.shard_job import Computed


def encode_video(settings: dict[str, Any], path: Path) -> Computed:
    """Return the rows of a video in the numbers of the store, float32.

    Parameters
    ----------
    settings : content of a feature's settings file, of kind `visual` or `audio`

    Raises
    ------
    UserError
        the feature is of another kind, or the video cannot be used
    """
    recipe, info = settings["recipe"], probe(path)
    if recipe.get("kind") not in ("visual", "audio") or recipe.get("images") or "encoder" not in recipe:
        raise UserError(
            f"config/features/{settings['feature']}.yaml: not computed from the pictures or sound of a video"
        )
    if info.status != "ok":
        raise UserError(f"{path}: {info.status}: {info.reason}")
    settings = settings | {"folder": str(path.parent)}
    media = {path.stem: asdict(info) | {"path": path.name}}
    if recipe["kind"] == "audio":
        shown: Pictures | Sounds = Sounds(settings, media)
    else:
        plan = plan_row(partial(frame_times, path, info.stream_index), recipe["sampling"])
        shown = Pictures(settings, {path.stem: plan}, media)
    [rows] = shown.encode([path.stem], Stalls())
    return rows._replace(values=rows.values.astype(recipe["store_dtype"]).astype(np.float32))
