"""Cases of the resize rules: `preprocess.safetensors` with pictures before and after Pillow and OpenCV."""

import re
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.decoded import decoded
from tests.parity.harness import Check, find_folder
from workflow_scripts.lib.media.probe import frame_times, probe
from workflow_scripts.lib.media.resize import resize_for
from workflow_scripts.lib.media.sampling import plan_frames

FILE = "preprocess.safetensors"
RULES = {
    "clip_pil": "clip_pil",
    "videofeatures_i3d": "vf_i3d",
    "vslnet_charades": "vslnet_charades",
    "vslnet_anet": "vslnet_shortside",
}
"""Stored name of a resize rule -> ours; the side of the square follows the name."""
PICTURE = re.compile(rf"(?P<picture>.+)__(?P<rule>{'|'.join(RULES)})(?P<size>\d+)")
LAVIS = re.compile(r"lavis_(?P<choice>head|uniform)(?P<n_frames>\d+)__grid\d+x\d+")
INPUTS = re.compile(r".+__(input_rgb|indices)")
LEVELS = 1
"""8-bit results of two libraries or versions may differ by one level."""
MEAN_LEVELS = 1.0
LAVIS_SIZE = 224


def claims(folder: Path) -> bool:
    """Return whether the folder holds the file."""
    return (folder / FILE).is_file()


def checks(folder: Path) -> list[Check]:
    """Return one check per picture and rule, and one per choice of frames as LAVIS sees them; unknown tensors fail."""
    tensors = load_file(folder / FILE)
    found = []
    for name in sorted(tensors):
        if match := PICTURE.fullmatch(name):
            rule = {"rule": RULES[match["rule"]], "size": int(match["size"])}
            run = partial(check_picture, tensors[f"{match['picture']}__input_rgb"], rule, tensors[name])
        elif match := LAVIS.fullmatch(name):
            rule = {"rule": f"lavis_{match['choice']}", "n_frames": int(match["n_frames"])}
            run = partial(check_lavis, rule, tensors[f"{name.partition('__')[0]}__indices"], tensors[name])
        elif INPUTS.fullmatch(name):
            continue
        else:
            run = partial(check_unknown, name)
        found.append(Check(name, run))
    return found


def check_unknown(name: str, data_path: Path | None) -> None:
    raise AssertionError(f"{FILE}: nobody knows how to check {name}")


def check_picture(picture: np.ndarray, rule: dict, expected: np.ndarray, data_path: Path | None) -> None:
    """The rule turns the picture into the expected one."""
    height, width, _ = picture.shape
    square = resize_for(rule, width, height).finish(picture)
    assert square.dtype == np.uint8
    np.testing.assert_allclose(square.astype(int), expected.astype(int), atol=LEVELS, rtol=0)


def check_lavis(rule: dict, indices: np.ndarray, grids: np.ndarray, data_path: Path | None) -> None:
    """Indices and squashed frames of a real video, as means of blocks; the case does not say of which."""
    videos = sorted(find_folder(data_path, "videos").iterdir())
    assert any(fits(path, rule, indices, grids) for path in videos), f"no video of {data_path}/videos gives these"


def fits(path: Path, rule: dict, indices: np.ndarray, grids: np.ndarray) -> bool:
    """Return whether a file is a video with these frames."""
    if probe(path).status != "ok":
        return False
    plan = plan_frames(rule, frame_times(path))
    if plan.frame_idx.tolist() != indices.tolist():
        return False
    frames = np.stack(list(decoded(path, plan.frame_idx, {"rule": "squash", "size": LAVIS_SIZE})))
    return bool(np.abs(block_means(frames, grids.shape[1]) - grids).max() <= MEAN_LEVELS)


def block_means(frames: np.ndarray, n: int) -> np.ndarray:
    """Return the means (T, n, n, C) over n x n equal blocks of frames (T, H, W, C)."""
    t, height, width, c = frames.shape
    return frames.reshape(t, n, height // n, n, width // n, c).mean((2, 4))
