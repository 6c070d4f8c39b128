"""Resize rules: sizes, crops, arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.decoded import decoded
from tests.unit.made_clips import make_clip
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.resize import RESIZE_RULES, bilinear_opencv, jpeg_roundtrip, resize_for

NATIVE_RULES = ("clip_pil", "imagenet", "vf_i3d", "vslnet_charades", "vslnet_shortside")


@pytest.mark.parametrize(
    ("name", "picture", "scaled", "corner"),
    [
        ("hero", (480, 360), (298, 224), (37, 0)),
        ("clip_pil", (480, 360), (298, 224), (37, 0)),
        ("clip_pil", (227, 225), (225, 224), (0, 0)),
        ("clip_pil", (230, 227), (226, 224), (1, 0)),
        ("clip_pil", (360, 480), (224, 298), (0, 37)),
        ("imagenet", (480, 360), (341, 256), (58, 16)),
        ("imagenet", (259, 257), (257, 256), (16, 16)),
        ("vf_i3d", (480, 360), (341, 256), (58, 16)),
        ("vslnet_charades", (480, 360), (480, 360), (128, 68)),
        ("vslnet_charades", (320, 113), (640, 226), (208, 1)),
        ("vslnet_shortside", (480, 360), (299, 224), (38, 0)),
        ("squash", (480, 360), (224, 224), (0, 0)),
    ],
)
def test_sizes_and_crops(name, picture, scaled, corner):
    found = resize_for({"rule": name, "size": 224}, *picture)
    assert (found.width, found.height) == scaled
    assert (found.left, found.top) == corner


@given(st.sampled_from(NATIVE_RULES), st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_every_rule_gives_a_square_of_the_wanted_size(name, width, height, size):
    frame = np.zeros((height, width, 3), np.uint8)
    assert resize_for({"rule": name, "size": size}, width, height).finish(frame).shape == (size, size, 3)


@given(st.sampled_from(sorted(RESIZE_RULES)), st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 300))
def test_the_crop_lies_inside_the_scaled_picture(name, width, height, size):
    found = resize_for({"rule": name, "size": size}, width, height)
    assert min(found.left, found.top) >= 0
    assert found.left + size <= found.width
    assert found.top + size <= found.height


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 255))
def test_bilinear_keeps_a_flat_picture_flat(width, height, level):
    flat = np.full((7, 5, 3), level, np.uint8)
    assert np.all(bilinear_opencv(flat, width, height) == level)


def test_bilinear_interpolates_between_pixel_centres():
    ramp = np.repeat(np.array([[[0], [100]]], np.uint8), 3, axis=2)
    assert bilinear_opencv(ramp, 4, 1)[0, :, 0].tolist() == [0, 25, 75, 100]
    assert bilinear_opencv(ramp, 1, 1)[0, 0, 0] == 50


def test_jpeg_changes_pixels_a_little():
    frame = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    difference = np.abs(jpeg_roundtrip(frame).astype(int) - frame)
    assert 0 < difference.mean() < 12


@pytest.mark.parametrize("name", NATIVE_RULES)
def test_frames_are_decoded_at_native_size_for_rules_of_other_libraries(tmp_path, name):
    clip = make_clip(tmp_path / "a.mp4", n_frames=3, size=(96, 64))
    (native,) = decoded(clip, [2], None)
    assert native.shape == (64, 96, 3)
    (plain,) = decoded(clip, [2], {"rule": name, "size": 32})
    np.testing.assert_array_equal(plain, resize_for({"rule": name, "size": 32}, 96, 64).finish(native))
    (through_jpeg,) = decoded(clip, [2], {"rule": name, "size": 32, "jpeg_roundtrip": True})
    expected = resize_for({"rule": name, "size": 32}, 96, 64).finish(jpeg_roundtrip(native))
    np.testing.assert_array_equal(through_jpeg, expected)


@pytest.mark.parametrize("name", ["squash", "hero"])
def test_rules_of_ffmpeg_have_no_jpeg_roundtrip(name):
    assert resize_for({"rule": name, "size": 8, "jpeg_roundtrip": False}, 10, 10).jpeg is False
    with pytest.raises(UserError, match="clip_pil"):
        resize_for({"rule": name, "size": 8, "jpeg_roundtrip": True}, 10, 10)
