"""Cases of the resize rules: `preprocess.safetensors` with pictures before and after Pillow and OpenCV."""

from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.decoded import decoded
from tests.parity.harness import Check, find_data
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.resize import resize_for
from workflow_scripts.lib.media.sampling import plan_frames

FILE = "preprocess.safetensors"
RULES = {
    "clip_pil224": "clip_pil",
    "videofeatures_i3d224": "vf_i3d",
    "vslnet_charades224": "vslnet_charades",
    "vslnet_anet224": "vslnet_shortside",
}
LEVELS = 1
"""8-bit results of two libraries or versions may differ by one level."""
MEAN_LEVELS = 1.0
LAVIS_VIDEO = "videos/v_ZNVhz7ctTq0.mp4"


def claims(folder: Path) -> bool:
    """Return whether the folder holds the file."""
    return (folder / FILE).is_file()


def checks(folder: Path) -> list[Check]:
    """Return one check per picture and rule, and one of frames as LAVIS sees them."""
    tensors = load_file(folder / FILE)
    found = [Check("lavis_head6", partial(check_lavis, tensors))]
    for name in sorted(tensors):
        picture, _, part = name.partition("__")
        if part in RULES:
            run = partial(check_picture, tensors[f"{picture}__input_rgb"], RULES[part], tensors[name])
            found.append(Check(name, run))
    return found


def check_picture(picture: np.ndarray, rule: str, expected: np.ndarray, data_path: Path | None) -> None:
    """The rule turns the picture into the expected one."""
    height, width, _ = picture.shape
    square = resize_for({"rule": rule, "size": 224}, width, height).finish(picture)
    assert square.dtype == np.uint8
    np.testing.assert_allclose(square.astype(int), expected.astype(int), atol=LEVELS, rtol=0)


def check_lavis(tensors: dict[str, np.ndarray], data_path: Path | None) -> None:
    """Indices and squashed frames of a real video, as means of 28 x 28 blocks."""
    path = find_data(data_path, LAVIS_VIDEO)
    plan = plan_frames({"rule": "lavis_head", "n_frames": 6}, frame_times(path))
    assert plan.frame_idx.tolist() == tensors["lavis_head6__indices"].tolist()
    frames = np.stack(list(decoded(path, plan.frame_idx, {"rule": "squash", "size": 224})))
    np.testing.assert_allclose(block_means(frames, 8), tensors["lavis_head6__grid8x8"], atol=MEAN_LEVELS)


def block_means(frames: np.ndarray, n: int) -> np.ndarray:
    """Return the means (T, n, n, C) over n x n equal blocks of frames (T, H, W, C)."""
    t, height, width, c = frames.shape
    return frames.reshape(t, n, height // n, n, width // n, c).mean((2, 4))
