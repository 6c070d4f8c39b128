"""Which frames a visual feature is made from, and what is done to them."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from workflow_scripts.lib.configuration.schema.section import Rate, Section

SAMPLING_OPTIONS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "ffmpeg_fps": (frozenset({"rate"}), frozenset({"short_clip_guard"})),
    "seek_per_second": (frozenset(), frozenset({"rate"})),
    "lavis_head": (frozenset({"n_frames"}), frozenset()),
    "lavis_uniform": (frozenset({"n_frames"}), frozenset()),
    "linspace": (frozenset({"n_frames"}), frozenset()),
    "linspace_clip": (frozenset({"n_frames"}), frozenset({"window_s"})),
    "hero_clips": (frozenset(), frozenset({"clip_s", "end"})),
    "windows": (frozenset({"window"}), frozenset({"stride", "tail", "skip_last", "block", "rate", "n_frames"})),
    "i3d_chunks": (frozenset(), frozenset({"rate"})),
}
"""Sampling rule -> options that it needs, and options that it may have."""


class Sampling(Section):
    """Which frames the network sees (rules: workflow_scripts/lib/media/sampling.py)."""

    rule: Literal[
        "ffmpeg_fps",
        "seek_per_second",
        "lavis_head",
        "lavis_uniform",
        "linspace",
        "linspace_clip",
        "hero_clips",
        "windows",
        "i3d_chunks",
    ] = Field(
        "ffmpeg_fps",
        description="sampling rule; one frame per row: `ffmpeg_fps` (slot centres), `seek_per_second` (starts of "
        "seconds), `lavis_head`, `lavis_uniform`, `linspace` (a fixed number); several: `hero_clips` (SlowFast), "
        "`windows`, `i3d_chunks`, `linspace_clip` (one row of a fixed number of frames)",
    )
    rate: Rate | None = Field(
        None,
        description="frames per second, exact: `2`, `0.5`, `30000/1001`; for `windows` and `i3d_chunks`: of the "
        "frames that they run over, null: all frames",
    )
    short_clip_guard: bool = Field(False, description="raise the rate for clips shorter than one slot (HERO)")
    n_frames: PositiveInt | None = Field(
        None,
        description="`lavis_*`, `linspace`: rows per video; `linspace_clip`: frames of its row; `windows`: frames that "
        "are seen of each window, evenly spaced from its first one (null: all)",
    )
    clip_s: Rate = Field("2", description="`hero_clips`: seconds per row, exact: `2`, `3/2`")
    window_s: Rate | None = Field(
        None,
        description="`linspace_clip`: a row for every so many seconds, the last one may be shorter; null: one row. A "
        "dataset with `window_s` sets it",
    )
    end: Literal["float", "int"] = Field(
        "float", description="`hero_clips`: rounding of a clip's last frame, `float` as HERO, `int` as lighthouse"
    )
    window: PositiveInt | None = Field(None, description="`windows`: frames that a row spans")
    stride: PositiveInt | None = Field(None, description="`windows`: frames between rows; null: the window")
    tail: Literal["drop", "shift_back", "pad"] = Field(
        "drop", description="`windows`: what happens to a window that does not fit"
    )
    skip_last: bool = Field(False, description="`windows`: never use the last frame (VSLNet, video_features)")
    block: PositiveInt | None = Field(None, description="`windows`: longer videos restart the grid (VSLNet: 10000)")

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        needed, allowed = SAMPLING_OPTIONS[self.rule]
        missing = [name for name in sorted(needed) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"rule {self.rule} needs {', '.join(missing)}")
        known = needed | allowed
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        foreign = sorted(n for n in self.model_fields_set - known - {"rule"} if getattr(self, n) != defaults[n])
        if foreign:
            raise ValueError(f"rule {self.rule} has no option {foreign[0]}; it has {', '.join(sorted(known))}")
        return self

    @model_serializer(mode="wrap")
    def _only_own_options(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        needed, allowed = SAMPLING_OPTIONS[self.rule]
        own = needed | allowed | {"rule"}
        return {key: value for key, value in handler(self).items() if key in own and value is not None}


class Resize(Section):
    """How a frame becomes a square (rules: workflow_scripts/lib/media/resize.py)."""

    rule: Literal[
        "squash",
        "hero",
        "clip_pil",
        "imagenet",
        "vf_i3d",
        "vf_i3d_whole",
        "vslnet_charades",
        "vslnet_shortside",
        "c3d",
    ] = Field(
        description="`squash`: direct bilinear resize; the others cut the centre "
        "out, after `hero`: bicubic (ffmpeg), `clip_pil`: bicubic (Pillow), `imagenet`: bicubic (Pillow) to 1/0.875 of "
        "the size, `vf_i3d`: bilinear (Pillow) to 8/7 of the "
        "size (`vf_i3d_whole`: without the cut, for optical flow), `vslnet_charades`: bilinear (OpenCV), only "
        "enlarges, `vslnet_shortside`: bilinear (OpenCV); all keep the aspect ratio but `squash` and `c3d`: bilinear "
        "(OpenCV) to 171 x 128 for a size of 112"
    )
    size: PositiveInt = Field(description="pixels")
    jpeg_roundtrip: bool = Field(
        False, description="write and read every frame as JPEG first, as HiREST did; not with `squash` and `hero`"
    )

    @model_validator(mode="after")
    def _check_jpeg(self) -> Self:
        if self.jpeg_roundtrip and self.rule in ("squash", "hero"):
            raise ValueError(f"rule {self.rule} has no jpeg_roundtrip; clip_pil has")
        return self

    @model_serializer(mode="wrap")
    def _without_jpeg_unless_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "jpeg_roundtrip" or value}


ImageName = Annotated[str, StringConstraints(pattern=r"^[^{}/]*(\{video_id\}[^{}/]*)?\{frame\}[^{}/]*$")]


class Images(Section):
    """Frames that lie as numbered images in folders, one folder per video, instead of those of the video file."""

    path: str = Field(description="folder that holds a folder <video id> for every video")
    files: tuple[ImageName, ...] = Field(
        description="file name of a frame, such as `img_{frame}.jpg` or `{video_id}-{frame}.jpg`; two of them, x and "
        "y, for optical flow: `[flow_x_{frame}.jpg, flow_y_{frame}.jpg]`. Numbers run from 0 or 1 without a gap",
        min_length=1,
        max_length=2,
    )
    rate: Rate = Field(description="frames per second at which the images were taken from the video, exact")
