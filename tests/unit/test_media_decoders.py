"""Two decoders behind one door: the same bytes from either, whatever the video; and the choice between them."""

import itertools

import av
import ffmpeg as ffmpeg_python
import numpy as np
import pytest

from tests.decoded import decoded
from tests.unit.made_clips import copy_streams, make_clip
from tests.unit.test_media_bad_videos import garble
from tests.unit.test_media_robustness import FRAGMENTED, TEN_PER_SECOND, write_clip
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media import decode, decode_program, decode_pyav
from workflow_scripts.lib.media.decode import check_decoder
from workflow_scripts.lib.media.frame_request import FrameClock, FrameRequest
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.resize import RESIZE_RULES

SQUASH = {"rule": "squash", "size": 48}
EVERY_THIRD = list(range(0, 24, 3))
INTERLACED = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
QUARTER = 1 << 16
"""One in the numbers of a display matrix, which have 16 binary places."""


def garbled(path):
    garble(path, first_packet=14)
    return path


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def wide_colours(path):
    return write_clip(path, x264={"x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709"})


CLIPS = {
    "plain": lambda folder: write_clip(folder / "a.mp4"),
    "mkv": lambda folder: write_clip(folder / "a.mkv"),
    "avi": lambda folder: make_clip(folder / "a.avi", n_frames=24),
    "ts": lambda folder: write_clip(folder / "a.ts"),
    "webm named mp4": lambda folder: write_clip(folder / "a.mkv").rename(folder / "b.mp4"),
    "variable rate": lambda folder: write_clip(folder / "a.mp4", np.cumsum(np.arange(24) ** 2 % 97 + 10).tolist()),
    "variable rate mkv": lambda folder: write_clip(folder / "a.mkv", np.cumsum(np.arange(24) ** 2 % 97 + 10).tolist()),
    "starts late": lambda folder: write_clip(folder / "a.mkv", [tick + 3700 for tick in TEN_PER_SECOND]),
    "odd size": lambda folder: write_clip(folder / "a.mkv", size=(97, 65), pix_fmt="yuv444p"),
    "10-bit": lambda folder: write_clip(folder / "a.mp4", pix_fmt="yuv420p10le"),
    "10-bit 4:2:2": lambda folder: write_clip(folder / "a.mp4", pix_fmt="yuv422p10le"),
    "full range": lambda folder: write_clip(folder / "a.mp4", pix_fmt="yuvj420p"),
    "bt709": lambda folder: wide_colours(folder / "a.mp4"),
    "interlaced": lambda folder: write_clip(folder / "a.mp4", x264=INTERLACED),
    "no duration": lambda folder: write_clip(folder / "a.mkv", container={"live": "1"}),
    "fragmented": lambda folder: write_clip(folder / "a.mp4", container=FRAGMENTED),
    "garbled": lambda folder: garbled(make_clip(folder / "a.mp4", n_frames=24)),
    "cut mkv": lambda folder: cut(write_clip(folder / "a.mkv", size=(192, 128)), 0.6),
    "cut ts": lambda folder: cut(write_clip(folder / "a.ts", size=(192, 128)), 0.6),
    "between key frames": lambda folder: copy_streams(make_clip(folder / "a.mp4"), folder / "b.ts", skip_packets=5),
}


def delivered(path, frame_idx, resize, decoder):
    """Return what a decoder gives, and whether it says that frames are missing."""
    frames = []
    try:
        frames.extend(decoded(path, frame_idx, resize, decoder=decoder))
    except DecodeError:
        return frames, True
    return frames, False


def check_equal(path, frame_idx, resize):
    (expected, is_short), (found, found_short) = (
        delivered(path, frame_idx, resize, decoder) for decoder in ("ffmpeg", "pyav")
    )
    assert found_short == is_short
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    return len(found)


@pytest.mark.parametrize("kind", CLIPS)
def test_both_decoders_deliver_the_same_bytes(tmp_path, kind):
    clip = CLIPS[kind](tmp_path)
    n_frames = len(frame_times(clip).pts)
    assert check_equal(clip, range(0, n_frames, 3), SQUASH) > 1
    check_equal(clip, range(n_frames), None)


@pytest.mark.parametrize("size", [(192, 128), (64, 96)], ids=str)
def test_pictures_that_change_their_size_on_the_way_are_nearly_the_same(tmp_path, size):
    """The program keeps parts of its first scaler; the other decoder gives what the second part alone would give."""
    edges = 2  # levels; these pictures are nothing but black and white edges
    parts = [
        write_clip(tmp_path / "first.ts", TEN_PER_SECOND[:12]),
        write_clip(tmp_path / "second.ts", TEN_PER_SECOND[12:], size=size),
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    alone = [frame for part in parts for frame in decoded(part, range(12), SQUASH)]
    found, by_program = (list(decoded(joined, range(24), SQUASH, decoder=name)) for name in ("pyav", "ffmpeg"))
    np.testing.assert_array_equal(found, alone)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(found, by_program, strict=True)) < edges


@pytest.mark.parametrize("rule", sorted(RESIZE_RULES))
def test_both_decoders_deliver_the_same_bytes_under_every_resize_rule(tmp_path, rule):
    clip = write_clip(tmp_path / "a.mp4", size=(98, 66))
    assert check_equal(clip, [0, 0, 5, 23], {"rule": rule, "size": 32}) == 4


TURNS = {
    "quarter": (0, QUARTER, -QUARTER, 0),
    "half": (-QUARTER, 0, 0, -QUARTER),
    "three quarters": (0, -QUARTER, QUARTER, 0),
    "mirrored": (-QUARTER, 0, 0, QUARTER),
    "upside down": (QUARTER, 0, 0, -QUARTER),
    "transposed": (0, QUARTER, QUARTER, 0),
    "transposed the other way": (0, -QUARTER, -QUARTER, 0),
}


@pytest.mark.parametrize("turn", TURNS)
def test_both_decoders_turn_and_mirror_alike(tmp_path, turn):
    clip = write_clip(tmp_path / "a.mp4")
    data = bytearray(clip.read_bytes())
    a, b, c, d = TURNS[turn]
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = matrix
    clip.write_bytes(data)
    assert check_equal(clip, EVERY_THIRD, {"rule": "hero", "size": 32}) == len(EVERY_THIRD)
    (frame,) = decoded(clip, [5], None, decoder="pyav")
    assert frame.shape == ((96, 64, 3) if a == 0 else (64, 96, 3))


def test_the_format_of_a_gpu_gives_the_same_frames(tmp_path):
    """NVDEC hands pictures over as NV12, where the processor's decoder has three planes."""
    clip = write_clip(tmp_path / "a.mp4", size=(98, 66))
    chosen = np.array(EVERY_THIRD)
    clock = FrameClock.of_frames(frame_times(clip), chosen)
    scale = "scale=48:48:flags=bicubic"
    plain, as_nv12 = (
        np.stack(list(decode_program.ffmpeg_frames(FrameRequest(clip, 0, clock, chosen, filters, (48, 48, 3)))))
        for filters in (scale, f"format=nv12,{scale}")
    )
    np.testing.assert_array_equal(plain, as_nv12)


def test_nvdec_is_the_same_command_with_another_decoder(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(
        decode_program, "read_blocks", lambda stream, *_: iter(commands.append(ffmpeg_python.compile(stream)) or [])
    )
    clip = write_clip(tmp_path / "a.mp4")
    for decoder in ("ffmpeg", "nvdec"):
        with pytest.raises(DecodeError, match="0 could be decoded"):
            next(decoded(clip, [3], SQUASH, decoder=decoder))
    plain, on_gpu = commands
    where = on_gpu.index("-hwaccel")
    assert on_gpu[where : where + 2] == ["-hwaccel", "cuda"]
    assert where < on_gpu.index("-i")
    assert on_gpu[:where] + on_gpu[where + 2 :] == plain


def fake_ffmpeg(folder, status):
    """Write a program that answers as ffmpeg does and then fails, or not, where a GPU is asked for."""
    program = folder / f"ffmpeg{status}"
    program.write_text(
        f"""#!/bin/sh
case "$*" in
  *-init_hw_device*) echo "Cannot load libcuda.so.1" >&2; exit {status};;
  *) echo "ffmpeg version 9";;
esac
"""
    )
    program.chmod(0o755)
    return str(program)


def test_without_a_gpu_nvdec_is_refused_with_the_remedy_before_any_video_is_touched(tmp_path):
    with pytest.raises(UserError, match=r"nvdec: .*GPU.*Cannot load libcuda.*decoder: auto") as caught:
        check_decoder("nvdec", fake_ffmpeg(tmp_path, 1))
    assert not isinstance(caught.value, DecodeError)
    check_decoder("nvdec", fake_ffmpeg(tmp_path, 0))


def test_the_processors_decoders_need_no_gpu(tmp_path):
    for decoder in ("auto", "pyav", "ffmpeg"):
        check_decoder(decoder, fake_ffmpeg(tmp_path, 1))
    with pytest.raises(UserError, match="'vaapi'"):
        check_decoder("vaapi")


def test_where_a_file_breaks_off_the_decoder_still_gives_what_it_holds(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "a.mp4", x264={"x264-params": "bframes=3:b-adapt=0"})
    whole = list(decoded(clip, range(24), SQUASH, decoder="pyav"))
    frames_until_error = decode_pyav._decoded

    class Broken:
        def __init__(self, container):
            self._container = container

        def demux(self, stream):
            yield from itertools.islice(self._container.demux(stream), 12)
            raise av.error.InvalidDataError(1, "broken")

    monkeypatch.setattr(decode_pyav, "_decoded", lambda file, stream: frames_until_error(Broken(file), stream))
    found, is_short = delivered(clip, range(24), SQUASH, "pyav")
    assert is_short
    assert len(found) >= 12
    np.testing.assert_array_equal(found, whole[: len(found)])


def test_an_abandoned_pass_closes_the_file(tmp_path, monkeypatch):
    opened, open_video = [], decode_pyav.open_video
    monkeypatch.setattr(decode_pyav, "open_video", lambda path: opened.append(open_video(path)) or opened[-1])
    frames = decoded(write_clip(tmp_path / "a.mp4"), range(24), SQUASH, decoder="pyav")
    next(frames)
    frames.close()
    with pytest.raises(AssertionError, match="not open"):
        next(opened[0].demux(video=0))


@pytest.mark.parametrize(("n_frames", "n_chosen", "program"), [(24, 24, False), (290, 9, False), (290, 10, True)])
def test_a_program_is_started_only_where_it_is_worth_it(tmp_path, monkeypatch, n_frames, n_chosen, program):
    clip = make_clip(tmp_path / "a.mp4", n_frames=n_frames)
    used = []
    monkeypatch.setattr(decode, "ffmpeg_frames", lambda *_: used.append("program") or iter([]))
    monkeypatch.setattr(decode, "pyav_frames", lambda *_: used.append("here") or iter([]))
    with pytest.raises(DecodeError):
        list(decoded(clip, range(n_chosen), SQUASH))
    assert used == ["program" if program else "here"]
