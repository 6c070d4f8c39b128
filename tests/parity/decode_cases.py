"""Cases of real videos: `decode.json` and `decode.safetensors` with what ffmpeg and OpenCV delivered of them."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from tests.decoded import decoded
from tests.parity.harness import Check, find_data, has_files
from tests.parity.preprocess_cases import block_means
from workflow_scripts.lib.media.audio import read_audio
from workflow_scripts.lib.media.probe import frame_times, probe
from workflow_scripts.lib.media.resize import jpeg_roundtrip, resize_for
from workflow_scripts.lib.media.sampling import plan_frames

LEVELS = 1.0
HERO = {"rule": "hero", "size": 224}
PRIMING_SAMPLES = 2048
RMS_TOLERANCE = 0.02
INT16 = 32768


def claims(folder: Path) -> bool:
    """Return whether the folder holds both files."""
    return has_files(folder, "decode.json", "decode.safetensors")


def checks(folder: Path) -> list[Check]:
    """Return the checks of every video; all of them need the video itself."""
    tensors = load_file(folder / "decode.safetensors")
    found = []
    for video, case in json.loads((folder / "decode.json").read_text()).items():
        add = partial(_check, found, video)
        add("probe", check_probe, case)
        add("native", check_native, case)
        add("fps-30", check_rate_30, case)
        for rate, row in case["hero224"].items():
            grids = tensors[f"{Path(video).stem}_hero224_fps{rate}_grid4x4"]
            add(f"hero-{rate}", check_hero, rate, row, grids)
        add("decoders", check_decoders)
        add("seek", check_seek, case["cv2_seek_1fps"])
        for rate, row in case.get("audio_decoded", {}).items():
            rms = tensors[f"{Path(video).stem}_rms_per_100ms_{rate}"]
            add(f"audio-{rate}", check_audio, int(rate), row, rms)
    return found


def _check(found: list[Check], video: str, name: str, function: Callable[..., None], *args: Any) -> None:
    def run(data_path: Path | None) -> None:
        function(find_data(data_path, f"videos/{video}"), *args)

    found.append(Check(f"{video}-{name}", run))


def mean_rgb(frames: np.ndarray) -> np.ndarray:
    """Return the mean colours (T, 3) of frames (T, H, W, 3)."""
    return frames.mean((1, 2))


def check_probe(path: Path, case: dict[str, Any]) -> None:
    """The probe finds what the container states."""
    info, media = probe(path), frame_times(path)
    assert (info.status, info.width, info.height, info.n_frames) == (
        "ok",
        case["width"],
        case["height"],
        case["n_frames"],
    )
    assert str(media.average_rate) == str(case["avg_rate"])
    assert str(media.time_base) == case["time_base"]
    assert info.n_audio_streams == len(case["audio"])
    assert info.audio_sample_rate == (case["audio"][0]["rate"] if case["audio"] else None)
    # Some containers tell no duration of a stream.
    duration_s = case["container_duration"] if case["stream_duration"] is None else case["stream_duration"]
    np.testing.assert_allclose(info.duration_s, duration_s, atol=1e-6)
    times_ms = (media.pts * media.time_base * 1000).astype(float)
    np.testing.assert_allclose(times_ms[:10], case["pts_ms_first10"], atol=0.002)
    np.testing.assert_allclose(times_ms[-1], case["pts_ms_last"], atol=0.002)


def check_native(path: Path, case: dict[str, Any]) -> None:
    """Every tenth frame at its native size."""
    expected = np.array(case["mean_rgb_every10th"])
    frames = decoded(path, np.arange(len(expected)) * 10, None)
    np.testing.assert_allclose([frame.mean((0, 1)) for frame in frames], expected, atol=LEVELS)


def check_hero(path: Path, rate: str, row: dict[str, Any], grids: np.ndarray) -> None:
    """Sampled frames by HERO's resize rule: number, mean colours, means of blocks."""
    plan = plan_frames({"rule": "ffmpeg_fps", "rate": rate}, frame_times(path))
    assert len(plan.frame_idx) == row["n"]
    frames = np.stack(list(decoded(path, plan.frame_idx, HERO)))
    np.testing.assert_allclose(mean_rgb(frames), row["mean_rgb"], atol=LEVELS)
    np.testing.assert_allclose(block_means(frames, grids.shape[1]), grids, atol=LEVELS)


def check_rate_30(path: Path, case: dict[str, Any]) -> None:
    """The stream at 30 frames per second, and the sizes of the resize rule."""
    info = probe(path)
    picture = resize_for(HERO, info.width, info.height)
    assert [picture.width, picture.height] == case["hero_scale"]
    assert [picture.left, picture.top] == case["hero_crop_xy"]
    plan = plan_frames({"rule": "ffmpeg_fps", "rate": 30}, frame_times(path))
    assert len(plan.frame_idx) == case["fps30_n"]
    frames = np.stack(list(decoded(path, plan.frame_idx[::15], HERO)))
    np.testing.assert_allclose(mean_rgb(frames), case["fps30_mean_rgb_every15th"], atol=LEVELS)


def check_decoders(path: Path) -> None:
    """Either decoder delivers the same bytes, frames thinned out or all, resized or not."""
    for rate, resize in ((1, HERO), (1, None), (30, {"rule": "squash", "size": 224})):
        plan = plan_frames({"rule": "ffmpeg_fps", "rate": rate}, frame_times(path))
        passes = [decoded(path, plan.frame_idx, resize, decoder=decoder) for decoder in ("pyav", "ffmpeg")]
        for one, other in zip(*passes, strict=True):
            np.testing.assert_array_equal(one, other)


def check_seek(path: Path, case: dict[str, Any]) -> None:
    """The frames that OpenCV finds second by second, and what a JPEG file makes of the first ones."""
    media = frame_times(path)
    assert len(media.pts) == case["cv2_n_sequential"]
    plan = plan_frames({"rule": "seek_per_second"}, media)
    assert plan.frame_idx.tolist() == case["frame_index"]
    frames = decoded(path, plan.frame_idx[: len(case["jpeg_q95_mean_rgb_first3"])], None)
    found = [jpeg_roundtrip(frame).mean((0, 1)) for frame in frames]
    np.testing.assert_allclose(found, case["jpeg_q95_mean_rgb_first3"], atol=LEVELS)


def check_audio(path: Path, rate: int, row: dict[str, Any], rms: np.ndarray) -> None:
    """Number of samples, and loudness of the decoded sound and of every tenth of a second."""
    samples = read_audio(path, rate) * INT16
    assert abs(len(samples) - row["n"]) <= PRIMING_SAMPLES
    loudness = float(np.sqrt(np.mean(np.square(samples))))
    assert abs(loudness - row["rms"]) <= RMS_TOLERANCE * row["rms"]
    per_block = rate // 10
    padded = np.pad(samples, (0, len(rms) * per_block))[: len(rms) * per_block].reshape(len(rms), per_block)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(padded), axis=1)), rms, rtol=RMS_TOLERANCE)
