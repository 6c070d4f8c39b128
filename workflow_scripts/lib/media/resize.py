"""Resize rules: from a decoded picture to the square that a network sees.

A feature file names a rule (`resize: {rule: hero, size: 224}`); `RESIZE_RULES` maps the name to its function. Two rules
are ffmpeg filters; the others work on the frame at its native size, as the published code did.
"""

import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from workflow_scripts.lib.errors import UserError

_JPEG_QUALITY = 95
_JPEG_420 = 2
# Published sizes around a crop of 224: torchvision's 256 for video_features, VSLNet's lower limit of 226.
_VF_I3D_MARGIN = 7
_IMAGENET_CROP = 0.875
_VSLNET_MARGIN = 2
# Caffe's C3D sees 112 x 112 out of 171 x 128 pixels.
_C3D_MARGIN = 7
_C3D_ASPECT = 4 / 3
_PILLOW_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class PictureResize(NamedTuple):
    """A resize rule applied to a picture of known size.

    Attributes
    ----------
    size : int
        Side of the square that is cut out.
    width, height : int
        What the picture is scaled to first.
    interpolation : str
        `bicubic` or `bilinear`.
    by : str
        `ffmpeg`, `pillow` or `opencv`: whose arithmetic. Pillow's filter widens with the reduction, OpenCV's does not.
        `nobody`: the frame stays as it is.
    left, top : int
        Upper left corner of the cut.
    scale : float or None
        Factor where OpenCV was given one; it then maps positions by it instead of by the ratio of the sizes.
    jpeg : bool
        Whether the frame goes through a JPEG file first.
    is_cut : bool
        Whether the square is cut out; false: the whole picture is kept.
    """

    size: int
    width: int
    height: int
    interpolation: str
    by: str
    left: int = 0
    top: int = 0
    scale: float | None = None
    jpeg: bool = False
    is_cut: bool = True

    def filters(self) -> str:
        """Return the ffmpeg filters; none for rules that work on the native frame."""
        if self.by != "ffmpeg":
            return ""
        scale = f"scale={self.width}:{self.height}:flags={self.interpolation}"
        if (self.width, self.height) == (self.size, self.size):
            return scale
        return f"{scale},crop={self.size}:{self.size}:{self.left}:{self.top}"

    def finish(self, frame: np.ndarray) -> np.ndarray:
        """Turn what the filters deliver, uint8 (H, W, 3), into uint8 (size, size, 3)."""
        if self.by in ("ffmpeg", "nobody"):
            return frame
        if self.jpeg:
            frame = jpeg_roundtrip(frame)
        if frame.shape[:2] != (self.height, self.width):
            frame = self._scaled(frame)
        if not self.is_cut:
            return frame
        return np.array(frame[self.top : self.top + self.size, self.left : self.left + self.size])

    def _scaled(self, frame: np.ndarray) -> np.ndarray:
        if self.by == "opencv":
            return bilinear_opencv(frame, self.width, self.height, self.scale)
        picture = Image.fromarray(frame).resize((self.width, self.height), _PILLOW_FILTERS[self.interpolation])
        return np.asarray(picture)


def _squash(size: int, width: int, height: int) -> PictureResize:
    """Both sides to `size`, aspect ratio lost, bilinear: what decord and LAVIS do."""
    return PictureResize(size, size, size, "bilinear", "ffmpeg")


def _hero(size: int, width: int, height: int) -> PictureResize:
    """Shorter side to `size`, the other truncated, bicubic, centre crop: what HERO's video loaders do."""
    width, height = _shorter_side_to(size, width, height)
    return PictureResize(size, width, height, "bicubic", "ffmpeg", left=(width - size) // 2, top=(height - size) // 2)


def _clip_pil(size: int, width: int, height: int) -> PictureResize:
    """Shorter side to `size`, Pillow bicubic, centre crop: what OpenAI's CLIP and HiREST's EVA-CLIP see."""
    width, height = _shorter_side_to(size, width, height)
    # Python's round, as torchvision: halves to even.
    left, top = round((width - size) / 2), round((height - size) / 2)
    return PictureResize(size, width, height, "bicubic", "pillow", left=left, top=top)


def _imagenet(size: int, width: int, height: int) -> PictureResize:
    """Shorter side to `size` / 0.875, Pillow bicubic, centre crop: what timm's ImageNet classifiers see."""
    width, height = _shorter_side_to(int(size / _IMAGENET_CROP), width, height)
    # Python's round, as torchvision: halves to even.
    left, top = round((width - size) / 2), round((height - size) / 2)
    return PictureResize(size, width, height, "bicubic", "pillow", left=left, top=top)


def _vf_i3d(size: int, width: int, height: int) -> PictureResize:
    """Shorter side to 8/7 of `size`, Pillow bilinear, centre crop: video_features' I3D (256 and 224)."""
    width, height = _shorter_side_to(size + size // _VF_I3D_MARGIN, width, height)
    return PictureResize(size, width, height, "bilinear", "pillow", left=(width - size) // 2, top=(height - size) // 2)


def _vf_i3d_whole(size: int, width: int, height: int) -> PictureResize:
    """The same without the cut: video_features computes optical flow before it cuts."""
    width, height = _shorter_side_to(size + size // _VF_I3D_MARGIN, width, height)
    return PictureResize(size, width, height, "bilinear", "pillow", is_cut=False)


def _c3d(size: int, width: int, height: int) -> PictureResize:
    """To 171 x 128 for a `size` of 112, aspect ratio lost, OpenCV bilinear, centre crop: what Caffe's C3D sees."""
    height = size + size // _C3D_MARGIN
    width = round(height * _C3D_ASPECT)
    return PictureResize(size, width, height, "bilinear", "opencv", left=(width - size) // 2, top=(height - size) // 2)


def _vslnet_charades(size: int, width: int, height: int) -> PictureResize:
    """Enlarge pictures whose shorter side is below `size` + 2, OpenCV bilinear, centre crop: VSLNet's Charades."""
    shorter = min(width, height)
    missing = size + _VSLNET_MARGIN - shorter
    return _vslnet(size, width, height, 1 + missing / shorter if missing > 0 else 1.0)


def _vslnet_shortside(size: int, width: int, height: int) -> PictureResize:
    """Shorter side to `size`, OpenCV bilinear, centre crop: VSLNet's ActivityNet and TACoS."""
    shorter = min(width, height)
    return _vslnet(size, width, height, 1 + (size - shorter) / shorter)


def _vslnet(size: int, width: int, height: int, scale: float) -> PictureResize:
    width, height = round(width * scale), round(height * scale)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return PictureResize(size, width, height, "bilinear", "opencv", left=left, top=top, scale=scale)


def _shorter_side_to(side: int, width: int, height: int) -> tuple[int, int]:
    if height >= width:
        return side, int(height * side / width)
    return int(width * side / height), side


RESIZE_RULES = {
    "squash": _squash,
    "hero": _hero,
    "clip_pil": _clip_pil,
    "imagenet": _imagenet,
    "vf_i3d": _vf_i3d,
    "vf_i3d_whole": _vf_i3d_whole,
    "c3d": _c3d,
    "vslnet_charades": _vslnet_charades,
    "vslnet_shortside": _vslnet_shortside,
}


def resize_for(rule: dict[str, Any] | None, width: int, height: int) -> PictureResize:
    """Apply a resize rule, given as in a feature file, to a picture as displayed.

    Parameters
    ----------
    rule : dict or None
        None: native size. `rule`, a member of `RESIZE_RULES`; `size`, pixels; optional
        `jpeg_roundtrip`, which
        HiREST's frames went through, for rules that work on the native frame.
    width, height : int
        Of the picture after the rotation that the file asks for.

    Raises
    ------
    UserError
        If the rule is unknown or its size is not a whole number from 1.
    """
    if rule is None:
        return PictureResize(0, width, height, "", "nobody")
    name, size = rule.get("rule"), rule.get("size")
    if name not in RESIZE_RULES:
        raise UserError(f"resize: unknown rule {name!r}. Known: {', '.join(sorted(RESIZE_RULES))}.")
    if not isinstance(size, int) or size < 1 or not set(rule) <= {"rule", "size", "jpeg_roundtrip"}:
        raise UserError(f"resize: expected {{rule: {name}, size: <pixels>}}, found {rule!r}.")
    picture = RESIZE_RULES[name](size, width, height)
    if not rule.get("jpeg_roundtrip"):
        return picture
    if picture.by == "ffmpeg":
        raise UserError(f"resize: jpeg_roundtrip works on the native frame, rule {name} does not; try rule clip_pil.")
    return picture._replace(jpeg=True)


def jpeg_roundtrip(frame: np.ndarray) -> np.ndarray:
    """Return a frame, uint8 (H, W, 3), as it comes back from a JPEG file of quality 95 and half the colour resolution.

    Notes
    -----
    Source: HiREST writes frames with OpenCV's defaults and reads them with Pillow.
    """
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "jpeg", quality=_JPEG_QUALITY, subsampling=_JPEG_420)
    with Image.open(file) as picture:
        return np.asarray(picture)


def bilinear_opencv(frame: np.ndarray, width: int, height: int, scale: float | None = None) -> np.ndarray:
    """Resize a frame, uint8 (H, W, 3), between its four nearest pixels, whatever the reduction.

    Parameters
    ----------
    frame : uint8 (H, W, 3)
    width, height : int
        Wanted size.
    scale : float, optional
        Factor by which positions are mapped; without it the ratio of the sizes.

    Notes
    -----
    Within one level of OpenCV's `INTER_LINEAR`, which rounds its weights to 11 bits.
    """
    low_y, high_y, part_y = _neighbours(frame.shape[0], height, scale)
    low_x, high_x, part_x = _neighbours(frame.shape[1], width, scale)
    rows = _between(frame[low_y].astype(np.float32), frame[high_y].astype(np.float32), part_y[:, None, None])
    square = _between(rows[:, low_x], rows[:, high_x], part_x[None, :, None])
    return (square + np.float32(0.5)).astype(np.uint8)


def _neighbours(n_source: int, n_target: int, scale: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each target pixel its lower and upper source pixel and the weight of the upper one."""
    step = 1 / scale if scale else n_source / n_target
    position = np.clip((np.arange(n_target) + 0.5) * step - 0.5, 0, n_source - 1)
    low = np.floor(position).astype(np.int64)
    return low, np.minimum(low + 1, n_source - 1), (position - low).astype(np.float32)


def _between(low: np.ndarray, high: np.ndarray, part: np.ndarray) -> np.ndarray:
    return low + (high - low) * part
