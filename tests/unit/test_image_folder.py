"""Frames that lie in folders as numbered images."""

import os
import zlib
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from workflow_scripts.lib.configuration.schema import Images, VisualFeature
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.image_folder import image_times, list_images, read_images
from workflow_scripts.lib.media.media_error import DecodeError, MediaError
from workflow_scripts.lib.media.sampling import plan_frames
from workflow_scripts.sample_images import images_digest

COLOUR = ["{video_id}-{frame}.jpg"]
FLOW = ["flow_x_{frame}.jpg", "flow_y_{frame}.jpg"]
CROP = {"rule": "vslnet_shortside", "size": 16}


def write(path, value, size=(32, 24)):
    Image.new("RGB" if isinstance(value, tuple) else "L", size, value).save(path, quality=95)


@pytest.fixture
def colour(tmp_path):
    """Twelve frames from 1, each of a brightness of its own, and a file that is none."""
    for number in range(1, 13):
        write(tmp_path / f"vid-{number:06d}.jpg", (20 * number, 0, 0))
    (tmp_path / "readme.txt").write_text("frames")
    return tmp_path


@pytest.fixture
def flow(tmp_path):
    """Twelve pairs from 0."""
    for number in range(12):
        write(tmp_path / f"flow_x_{number:05d}.jpg", 10 * number)
        write(tmp_path / f"flow_y_{number:05d}.jpg", 255 - 10 * number)
    return tmp_path


def test_frames_are_sorted_by_number_not_by_name(tmp_path):
    for number in (1, 2, 10, 9, 8, 7, 6, 5, 4, 3):
        write(tmp_path / f"img_{number}.jpg", 0)
    frames = list_images(tmp_path, ["img_{frame}.jpg"], "vid")
    assert [path.name for (path,) in frames] == [f"img_{number}.jpg" for number in range(1, 11)]


def test_colour_and_flow_are_read_resized_and_repeated(colour):
    frames = list_images(colour, COLOUR, "vid")
    assert len(frames) == 12
    first, again, last = read_images(frames, [0, 0, 11], CROP)
    assert first.shape == (16, 16, 3)
    assert np.array_equal(first, again)
    assert np.abs(first.mean((0, 1)) - [20, 0, 0]).max() < 3
    assert abs(last[..., 0].mean() - 240) < 3
    assert next(read_images(frames, [0], None)).shape == (24, 32, 3)


@pytest.mark.parametrize("rule", [None, CROP, {"rule": "vf_i3d", "size": 14}, {"rule": "clip_pil", "size": 16}])
def test_flow_has_x_and_y(flow, rule):
    (frame,) = read_images(list_images(flow, FLOW, "vid"), [7], rule)
    assert frame.shape[2] == 2
    assert (frame[..., 0] == 70).all()
    assert (frame[..., 1] == 185).all()


def test_a_gap_a_lonely_image_and_two_of_a_number_are_named(flow):
    (flow / "flow_y_00004.jpg").rename(flow / "kept.jpg")
    with pytest.raises(MediaError, match=r"flow_x_00004.jpg has no partner called as flow_y_\{frame\}.jpg"):
        list_images(flow, FLOW, "vid")
    (flow / "flow_x_00004.jpg").unlink()
    with pytest.raises(MediaError, match="frame 4 is missing, the last one is 11"):
        list_images(flow, FLOW, "vid")
    (flow / "flow_x_5.jpg").write_bytes(b"")
    with pytest.raises(MediaError, match=r"flow_x_00005.jpg and flow_x_5.jpg have the same number"):
        list_images(flow, FLOW, "vid")


def test_frames_that_do_not_begin_at_0_or_1_have_a_gap(colour):
    (colour / "vid-000001.jpg").unlink()
    with pytest.raises(MediaError, match="frame 1 is missing"):
        list_images(colour, COLOUR, "vid")


def test_no_folder_and_no_image_of_the_name_are_told(colour):
    with pytest.raises(MediaError, match="no such folder of images"):
        list_images(colour / "gone", COLOUR, "vid")
    with pytest.raises(
        MediaError, match=r"no file there is called as \{video_id\}-\{frame\}.jpg, found e.g. readme.txt"
    ):
        list_images(colour, COLOUR, "other")


def test_a_broken_image_and_unequal_sizes_are_named(flow):
    frames = list_images(flow, FLOW, "vid")
    (flow / "flow_x_00001.jpg").write_bytes(b"no image")
    write(flow / "flow_y_00002.jpg", 0, (8, 8))
    with pytest.raises(DecodeError, match=r"flow_x_00001.jpg: cannot be read as an image"):
        list(read_images(frames, [1], CROP))
    with pytest.raises(DecodeError, match=r"flow_y_00002.jpg: is not as large as flow_x_00002.jpg"):
        list(read_images(frames, [2], CROP))
    with pytest.raises(DecodeError, match="frame 12 was planned"):
        list(read_images(frames, [12], CROP))
    with pytest.raises(UserError, match="rule hero is not for images"):
        list(read_images(frames, [0], {"rule": "hero", "size": 16}))


def png_of_size(width, height):
    """Return the begin of a picture that claims a size."""
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    chunks = (header, b"IDAT" + zlib.compress(bytes(100))[:8])
    parts = ((len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda path: path.write_bytes(png_of_size(60000, 60000)), "claims 60000 x 60000 pixels|pixels, could be"),
        (lambda path: path.write_bytes(png_of_size(20000, 4000)), "claims 20000 x 4000 pixels"),
        (lambda path: path.write_bytes(png_of_size(32, 24)), "cannot be read as an image"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "cannot be read as an image"),
        (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "cannot be read as an"),
        (lambda path: path.write_bytes(b"<!DOCTYPE html>"), "cannot be read as an image"),
        (lambda path: path.write_bytes(b""), "cannot be read as an image"),
    ],
)
def test_a_hostile_image_is_named_before_it_takes_memory(colour, change, found):
    frames = list_images(colour, COLOUR, "vid")
    change(frames[0][0])
    with pytest.raises(DecodeError, match=rf"{frames[0][0].name}: .*({found})"):
        next(read_images(frames, [0], None))
    assert next(read_images(frames, [1], None)).shape[2] == 3


def test_an_image_is_read_by_its_content_whatever_its_suffix(colour):
    frames = list_images(colour, COLOUR, "vid")
    write(frames[1][0].with_suffix(".png"), 100)
    frames[1][0].with_suffix(".png").replace(frames[0][0])
    assert next(read_images(frames, [0], None)).shape == (24, 32, 3)


def test_every_sampling_rule_runs_over_the_numbers():
    media = image_times(48, Fraction(24))
    everything = plan_frames({"rule": "windows", "window": 24}, media)
    resampled = plan_frames({"rule": "windows", "window": 24, "rate": "24"}, media)
    assert np.array_equal(everything.frame_idx, np.arange(48))
    assert np.array_equal(everything.frame_idx, resampled.frame_idx)
    assert everything.times.tolist() == [[0.0, 1.0], [1.0, 2.0]]
    halved = plan_frames({"rule": "ffmpeg_fps", "rate": "12"}, media)
    assert halved.frame_idx.tolist() == list(range(0, 48, 2))
    assert len(plan_frames({"rule": "hero_clips", "clip_s": "2"}, media).times) == 1


def test_the_digest_tells_other_images(flow):
    digest = images_digest(list_images(flow, FLOW, "vid"))
    assert images_digest(list_images(flow, FLOW, "vid")) == digest
    write(flow / "flow_x_00000.jpg", 200)
    changed = images_digest(list_images(flow, FLOW, "vid"))
    assert changed != digest
    (flow / "flow_x_00011.jpg").unlink()
    (flow / "flow_y_00011.jpg").unlink()
    assert images_digest(list_images(flow, FLOW, "vid")) not in (digest, changed)


def feature(files, rule):
    described = {"kind": "visual", "description": "x", "encoder": "i3d", "weights": "random(0)"}
    images = {"path": "frames", "files": files, "rate": 24}
    return VisualFeature.model_validate(described | {"sampling": {"rate": "1"}, "resize": rule, "images": images})


def test_settings_that_images_cannot_have_are_refused():
    assert feature(FLOW, CROP).images.files == tuple(FLOW)
    with pytest.raises(ValidationError, match="rule hero is not for images"):
        feature(COLOUR, {"rule": "hero", "size": 16})
    with pytest.raises(ValidationError, match="not for flow images"):
        feature(FLOW, {"rule": "clip_pil", "size": 16, "jpeg_roundtrip": True})
    for name in ("flow.jpg", "{number}.jpg", "{frame}/{frame}.jpg"):
        with pytest.raises(ValidationError):
            Images(path="frames", files=[name], rate="24")
